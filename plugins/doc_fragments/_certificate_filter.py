# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Says the same as CERTIFICATE_FILTER in module_utils/_module/arguments.py; a unit test compares them.
    DOCUMENTATION = r"""
options:
  projects:
    description: Only certificates of these projects, by id, slug or name. All when empty.
    type: list
    elements: str
    default: []
  names:
    description: Only these certificates, by name, common name or id. All when empty.
    type: list
    elements: str
    default: []
  ids:
    description: Only these certificates, by id. All when empty.
    type: list
    elements: str
    default: []
  serials:
    description: Only certificates with these serial numbers, in hex; colons and upper case do not matter.
    type: list
    elements: str
    default: []
  issuers:
    description:
      - Only certificates of these issuers, by common name, organization, or whole name in RFC 4514, or by what the
        product notes as issuer, such as V(acme). Upper and lower case do not matter.
    type: list
    elements: str
    default: []
  statuses:
    description: Only certificates with these states in the product, such as V(active), V(expired) or V(revoked).
    type: list
    elements: str
    default: []
  expires_after:
    description:
      - Only certificates that expire at this instant or later, an instant V(2026-12-31T00:00:00Z), a date
        V(2026-12-31), or days from now V(0d). UTC where no zone is given.
    type: str
  expires_before:
    description: Only certificates that expire before this instant, written as in O(expires_after), such as V(30d).
    type: str
"""
