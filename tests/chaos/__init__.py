# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations under fire: `make chaos`. A live installation, rotated twice by processes that are killed again and again.

 scene     the installation: server, records, service processes, writers and readers
 rotating  a child process that runs kek_rotate, and the parent's hold on it
 killing   when which process is killed, and the rotation taken up again until it is complete
 judging   what is true afterwards, by the oracle and the logs of the load; no code of the collection

The short run is tests/integration/rotation/test_chaos.py.
"""
