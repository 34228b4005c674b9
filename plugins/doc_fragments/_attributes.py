# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in
      diff mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes
      nothing.
  platform:
    description: Target OS the module can run on.
    platforms: posix
  action_group:
    description: Use C(group/certautopilot.ops.kek) in C(module_defaults) to set defaults for this module.
    membership:
      - certautopilot.ops.kek
"""

    # Changes something: check mode predicts from the real state, the diff has versions, counts and check values.
    CHANGES = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff holds versions, counts and check values, never key bytes or record contents.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
  action_group:
    support: full
"""

    # Only reads.
    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module does not modify state.
  diff_mode:
    support: N/A
    details: This module does not modify state.
  idempotent:
    support: full
    details: This module does not modify state.
  platform:
    support: full
    platforms: posix
  action_group:
    support: full
"""

    # Action plugins that look at the play on the controller. Used by itself: they are in no group.
    ON_CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details: It changes nothing, and fails in check mode too.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in
      diff mode.
    support: N/A
    details: It changes nothing.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes
      nothing.
    support: full
    details: It changes nothing.
  platform:
    description: Target OS the module can run on.
    support: full
    platforms: all
  action_group:
    description: Use C(group/certautopilot.ops.kek) in C(module_defaults) to set defaults for this module.
    support: none
    details: It works on no installation.
    membership: []
  action:
    description: Indicates that this has a corresponding action plugin, so some parts of the options can be
      executed on the controller.
    support: full
"""
