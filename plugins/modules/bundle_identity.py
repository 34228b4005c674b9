#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_identity
short_description: Make the age identity that bundles are encrypted to
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Makes an age identity on this host if there is none and returns its public recipient. The identity never
    leaves the host.
options:
  path:
    description: The identity file, mode C(0600).
    type: path
    required: true
requirements:
  - python >= 3.11
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
attributes:
  action_group:
    support: none
    details: It works on no installation, so it does not take the options that the group's defaults set.
seealso:
  - module: certautopilot.ops.data_export
  - module: certautopilot.ops.data_import
"""

EXAMPLES = r"""
---
- name: Make the destination's identity
  certautopilot.ops.bundle_identity:
    path: /var/lib/certautopilot-migration/identity
  become: true
  register: identity
"""

RETURN = r"""
---
recipient:
  description: Public key, empty in check mode while there is no identity.
  returned: success
  type: str
  sample: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
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
    code: bundle.identity_invalid
    step: ""
    retryable: false
    hint: "make it with bundle_identity or age-keygen"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import bundle_identity

ARGUMENTS = {"path": {"type": "path", "required": True}}


def main() -> None:
    run_module(ARGUMENTS, bundle_identity.Options, bundle_identity.run, needs=("pyrage",), installed=False)


if __name__ == "__main__":
    main()
