# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Says the same as SERVICE_API in module_utils/_module/arguments.py; a unit test compares them.
    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - Read from the service's API at this address, C(https://HOST), instead of from the database. No KEK and no
        database is needed then, and what the service does not allow is not exported.
      - The vendor documents paging, formats and single-use tokens, but not path and body of a download. What is assumed
        of them is in ADR-0040.
      - The service audits every download, those of check mode as well.
      - Redirects are not followed, proxies of the environment are not used, and http is refused other than to
        V(127.0.0.1) and V(::1).
    type: str
  api_key_file:
    description:
      - File with an API key of the role operator or more, C(cap_) and 52 characters, mode C(0600).
      - Required with O(api_url).
    type: path
  api_ca_file:
    description: File with the CA's certificates, PEM, where those of the system do not vouch for the service.
    type: path
"""
