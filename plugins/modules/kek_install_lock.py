#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_install_lock
short_description: Lock a database for the configured KEK provider
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Writes the document C(kek_install), which fixes the KEK provider of an installation for ever, or returns the one
    that is there.
  - The same provider again changes nothing. Another provider is refused with the vendor's text.
  - For V(env) it also makes the first keystore row, with a canary sealed by the KEK. It never makes a KEK.
  - A database that holds envelopes but no lock is refused, unless O(adopt=true) and every envelope is proven to
    belong to this provider.
options:
  adopt:
    description:
      - Take over a database that holds envelopes but no lock, from a release of the product that wrote no lock yet.
      - Every envelope must name the configured provider and open under its KEK; otherwise nothing is written.
    type: bool
    default: false
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.kek_pkcs11_init
  - module: certautopilot.ops.kek_info
"""

EXAMPLES = r"""
---
- name: Lock the database of this host, settings from /etc/certautopilot
  certautopilot.ops.kek_install_lock:
  become: true

- name: Say what would happen to an old database
  certautopilot.ops.kek_install_lock:
    adopt: true
  check_mode: true
  become: true
"""

RETURN = r"""
---
lock:
  description: The install lock; in check mode the one that would be written.
  returned: success
  type: dict
  contains:
    provider:
      description: Provider the database is locked for.
      type: str
    installed_at:
      description: RFC 3339 instant in UTC, V(unknown) where the lock does not tell, empty in check mode.
      type: str
    installed_by:
      description: Who wrote it, V(service) or V(pkcs11-init).
      type: str
    install_id:
      description: Id of the installation, 32 hex characters.
      type: str
  sample:
    provider: pkcs11
    installed_at: "2026-05-01T09:00:00Z"
    installed_by: pkcs11-init
    install_id: 844d9c87ba984b2d89f04458d1536ddc
failure:
  description: What stopped the module. Codes are stable; they are listed in the collection's guide to failure
    codes.
  returned: on failure
  type: dict
  contains:
    code:
      description: Stable code of the failure.
      type: str
    step:
      description: Part of the operation that stopped, empty when it had not begun.
      type: str
    retryable:
      description: Whether the same call may succeed later without anybody changing anything.
      type: bool
    hint:
      description: What to do next.
      type: str
  sample:
    code: lock.provider_mismatch
    step: ""
    retryable: false
    hint: "point config.yaml at the database of this provider, or migrate"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_install_lock

ARGUMENTS = with_installation(adopt={"type": "bool", "default": False})


def main() -> None:
    run_module(ARGUMENTS, kek_install_lock.Options, kek_install_lock.run)


if __name__ == "__main__":
    main()
