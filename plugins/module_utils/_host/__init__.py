# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects on the host that runs the service: unit, journal, timers, health URL and processes, by systemd's own tools.

Owns every call of systemctl, journalctl and systemd-run. What their answers mean is decided in `_domain`, without
them. Knows no keys and no records. Enter at `units.look`.
"""
