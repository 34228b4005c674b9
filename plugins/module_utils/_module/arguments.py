# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that all modules share, spelled once, and how a module's own are laid over them.

Must say the same as the documentation fragments of the same names; a unit test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._domain.settings import DATABASE, DATABASE_URI, TLS, TLS_CA_FILE, TLS_KEY_FILE, Setting
from .._domain.settings import PROVIDER as PROVIDER_SETTING
from .._keys import registry
from .configuration import DEFAULT_CONFIG_FILE, DEFAULT_SECRETS_FILE, SOURCE_PREFIX

Spec: TypeAlias = dict[str, Mapping[str, object]]
"""Option -> its description in Ansible's words: {type, default, choices, no_log, …}."""


def _options(*settings: Setting) -> Spec:
    """Return the options of settings; a secret one can be given by a file too."""
    spec: Spec = {}
    for setting in settings:
        spec[setting.name] = {"type": setting.kind, "no_log": setting.secret}
        if setting.secret:
            spec[setting.file_option] = {"type": "path", "no_log": False}
    return spec


MONGODB: Spec = {
    **_options(DATABASE_URI, DATABASE, TLS, TLS_CA_FILE, TLS_KEY_FILE),
    "config_file": {"type": "path", "default": DEFAULT_CONFIG_FILE},
    "secrets_file": {"type": "path", "default": DEFAULT_SECRETS_FILE, "no_log": False},
    "service_user": {"type": "str", "default": ""},
    "catalogue": {"type": "dict", "default": {}},
}
PROVIDER: Spec = {
    PROVIDER_SETTING.name: {"type": "str", "choices": list(registry.names())},
    **_options(*(setting for kind in registry.KINDS for setting in kind.OPTIONS)),
}
SERVICE_API: Spec = {
    "api_url": {"type": "str"},
    "api_key_file": {"type": "path", "no_log": False},
    "api_ca_file": {"type": "path"},
}
CERTIFICATE_FILTER: Spec = {
    **{
        name: {"type": "list", "elements": "str", "default": []}
        for name in ("projects", "names", "ids", "serials", "issuers", "statuses")
    },
    "expires_after": {"type": "str"},
    "expires_before": {"type": "str"},
}
EXCLUSIVE = tuple((setting.name, setting.file_option) for setting in registry.all_settings() if setting.secret)
_OF_BOTH = ("service_user", "catalogue")  # of the host and of the product, and so of either installation
SOURCE: Spec = {
    f"{SOURCE_PREFIX}{name}": {key: value for key, value in option.items() if key != "default"}
    for name, option in {**MONGODB, **PROVIDER}.items()
    if name not in _OF_BOTH
}
SOURCE_EXCLUSIVE = tuple((f"{SOURCE_PREFIX}{one}", f"{SOURCE_PREFIX}{other}") for one, other in EXCLUSIVE)


def with_installation(**own: Mapping[str, object]) -> Spec:
    """Return the argument spec of a module that works on an installation: shared options and its own."""
    return {**MONGODB, **PROVIDER, **own}
