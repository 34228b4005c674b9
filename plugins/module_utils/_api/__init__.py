# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's HTTP API: one client, and the certificates that come by it.

Owns every request to the service. Knows no database and no KEK; what paths and answers mean is decided in
`_domain/api_answers.py`. Enter at `certificates_of_api`.
"""
