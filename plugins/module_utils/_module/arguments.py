# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that all modules share, spelled once, and how a module's own are laid over them.

Must say the same as the documentation fragments `_mongodb` and `_provider`; a unit test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .configuration import DEFAULT_CONFIG_FILE, DEFAULT_SECRETS_FILE

Spec = dict[str, Any]

MONGODB: Mapping[str, Any] = {
    "mongodb_uri": {"type": "str", "no_log": True},
    "mongodb_uri_file": {"type": "path", "no_log": False},
    "mongodb_database": {"type": "str"},
    "config_file": {"type": "path", "default": DEFAULT_CONFIG_FILE},
    "secrets_file": {"type": "path", "default": DEFAULT_SECRETS_FILE, "no_log": False},
    "catalogue": {"type": "dict", "default": {}},
}
PROVIDER: Mapping[str, Any] = {
    "provider": {"type": "str", "choices": ["env", "pkcs11"]},
    "pkcs11_module_path": {"type": "path"},
    "pkcs11_token_label": {"type": "str", "no_log": False},
    "pkcs11_token_serial": {"type": "str", "no_log": False},
    "pkcs11_pin": {"type": "str", "no_log": True},
    "pkcs11_pin_file": {"type": "path", "no_log": False},
}
EXCLUSIVE = (("mongodb_uri", "mongodb_uri_file"), ("pkcs11_pin", "pkcs11_pin_file"))


def with_installation(**own: Any) -> Spec:
    """Return the argument spec of a module that works on an installation: shared options and its own."""
    return {**MONGODB, **PROVIDER, **own}
