# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers are objects in one list: nobody else knows their names or classes, and each keeps the same contract."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry
from ansible_collections.certautopilot.ops.plugins.module_utils._module import arguments, dependencies

PLUGINS = Path(__file__).parents[3] / "plugins"
HOME = PLUGINS / "module_utils" / "_keys"
OF_PROVIDERS = ("registry.py", "env.py", "pkcs11")  # below HOME: the list, and what belongs to one provider
EACH = pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.NAME)

COMPLETE = Settings(
    values={"pkcs11_module_path": "/usr/lib/hsm.so", "pkcs11_token_label": "kek"},
    hidden={"pkcs11_pin": Secret("7391-7391")},
    keks={1: Secret(bytes(range(32)))},
)


def names_and_classes_in(source):
    """Return line numbers of whatever treats a provider by its name or asks for its class."""
    names = set(registry.names())
    classes = {f"{prefix}{part}" for prefix in ("Env", "Pkcs11") for part in ("Provider", "Kind")}
    found = set()
    for node in ast.walk(ast.parse(source)):
        asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        if asks and {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node)} & classes:
            found.add(node.lineno)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
            found.add(node.lineno)
    return sorted(found)


def test_no_provider_is_known_by_name_or_class_outside_the_registry():
    sources = [
        path for path in PLUGINS.rglob("*.py") if not any(path.is_relative_to(HOME / home) for home in OF_PROVIDERS)
    ]

    offenders = [
        f"{path.relative_to(PLUGINS)}:{line}" for path in sources for line in names_and_classes_in(path.read_text())
    ]

    # `encryption.pkcs11.…` of config.yaml is a path, and the constants beside it are that provider's own settings.
    # `env` is also what Kubernetes calls the environment of a container.
    foreign = ("module_utils/_domain/pkcs11_settings.py", "plugin_utils/_kubernetes.py")
    assert [place for place in offenders if not place.startswith(foreign)] == []


@pytest.mark.parametrize(
    "source",
    [
        'if lock.provider == "env": pass',
        'found = provider in ("env", "pkcs11")',
        'PROVIDER = "pkcs11"',
        'choose = {"env": 1}[name]',
        "if isinstance(provider, Pkcs11Provider): pass",
        "if isinstance(provider, (int, env.EnvProvider)): pass",
    ],
)
def test_a_name_or_a_class_is_found_however_it_is_written(source):
    assert names_and_classes_in(source) == [1]


@EACH
def test_a_provider_that_is_made_but_not_opened_touches_nothing_and_has_its_kinds_name(kind):
    provider = kind.from_settings(COMPLETE)

    assert (provider.name, provider.device) == (kind.NAME, kind.DEVICE)
    assert (provider.key_admin is None) is not kind.DEVICE
    assert provider.retries == 0
    provider.close()


@EACH
def test_without_its_settings_a_kind_refuses_and_says_where_to_give_them(kind):
    with pytest.raises(OpsError) as refusal:
        kind.from_settings(Settings())

    assert refusal.value.code == "settings.missing"
    assert refusal.value.hint


@EACH
def test_a_first_login_names_its_place_and_shows_its_secret_to_nobody(kind):
    login = kind.first_login(COMPLETE)

    if kind.DEVICE:
        refused = login.refused_before(refusal="5d21c0ae", at="2026-05-01T09:00:00Z", host="kek-1", certain=True)
        assert login.place
        assert "5d21c0ae" in refused.message
        assert "7391-7391" not in f"{login} {login.secret} {refused.as_result()}"
    else:
        assert login is None


@EACH
def test_every_option_of_a_kind_is_an_option_of_the_modules_and_its_secrets_come_from_files_too(kind):
    for setting in kind.OPTIONS:
        assert arguments.PROVIDER[setting.name]["type"] == setting.kind
        assert arguments.PROVIDER[setting.name]["no_log"] is setting.secret
        assert (setting.file_option in arguments.PROVIDER) is setting.secret
        assert ((setting.name, setting.file_option) in arguments.EXCLUSIVE) is setting.secret
        assert setting.variable.startswith("CERTAUTOPILOT_")


def test_the_modules_offer_every_provider_and_know_every_library():
    assert tuple(arguments.PROVIDER["provider"]["choices"]) == registry.names()
    assert dict(registry.libraries()).items() <= dependencies.LIBRARIES.items()


def test_no_two_settings_share_an_option_a_variable_or_a_place_in_the_file():
    settings = registry.all_settings()

    assert len({setting.name for setting in settings}) == len(settings)
    assert len({setting.variable for setting in settings if setting.variable}) == len(
        [s for s in settings if s.variable]
    )
    assert len({setting.path for setting in settings if setting.path}) == len([s for s in settings if s.path])


@pytest.mark.parametrize(("provider", "needed"), [("env", ()), ("pkcs11", ("pkcs11",)), ("other", ()), (None, ())])
def test_only_the_configured_provider_needs_its_libraries(provider, needed):
    assert registry.needs(Settings({} if provider is None else {"provider": provider})) == needed


def test_a_lock_of_an_unknown_provider_is_refused_with_the_names_that_are_known():
    with pytest.raises(OpsError) as refusal:
        registry.locked_kind("kms")

    assert refusal.value.code == "lock.unknown_provider"
    assert refusal.value.message.endswith('names provider "kms", expected "env" or "pkcs11" (from kek_install)')
