# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be reissued after a KEK was compromised, most exposed first. Pure.

Whoever had the old KEK and a dump has the secrets themselves: new data keys protect what is written from now on, not
what was read. Source: NIST SP 800-57 part 1, section 8.3 (compromise recovery).
"""

from __future__ import annotations

# What an attacker can use against others at once comes first: keys that servers prove themselves with, then accounts
# that can issue such keys or change zones, then access to hosts, then the rest.
ORDER = (
    "certificate_private_keys",
    "acme_accounts",
    "msca_connections",
    "dns_credentials",
    "module_credentials",
    "users",
    "notification_channels",
    "settings",
)
_ACTION = {
    "certificate_private_keys": "revoke the certificate (keyCompromise) and issue it again with a new key",
    "acme_accounts": "roll the account key over",
    "msca_connections": "change the service account's password",
    "dns_credentials": "make new API credentials and delete the old ones",
    "module_credentials": "replace the key, password or token on the target",
    "users": "enrol the second factor again",
    "notification_channels": "replace password or webhook",
    "settings": "ask for a new licence key",
}


def rank(collection: str) -> int:
    """Return the place in the order of exposure; what nobody ranked comes last."""
    return ORDER.index(collection) if collection in ORDER else len(ORDER)


def action(collection: str) -> str:
    """Return what an operator does about a secret of this collection."""
    return _ACTION.get(collection, "replace this secret where it is used")
