# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each module, started on a host that lacks something: one structured failure, never a traceback."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NO_MODULE = {"__init__", "bundle_transfer", "in_step", "require"}  # these are documentation only
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem not in NO_MODULE)
# They need systemd, or make what the others need.
WITHOUT_LIBRARIES = ("product_service", "return_switch", "runtime_environment", "service_unit_info")
WITH_LIBRARIES = [name for name in MODULES if name not in WITHOUT_LIBRARIES]
ON_AN_INSTALLATION = [name for name in WITH_LIBRARIES if name not in ("bundle_identity", "secrets_archive")]
PLUGINS = "ansible_collections.certautopilot.ops.plugins"
KEY = "0123456789abcdef" * 4

# Options that the modules cannot do without; folders are put below the test's own.
REQUIRED = {
    "bundle_identity": {"path": "identity"},
    "cert_export": {"dest": "out"},
    "cert_recover": {"names": ["web"]},
    "data_export": {"dest": "out", "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]},
    "data_import": {"src": "in", "identity_file": "identity"},
    "db_backup": {"dest": "out"},
    "db_backup_check": {"src": "in"},
    "db_drop": {"confirm": "certautopilot", "install_id": "0" * 32, "source_digest": "0" * 64},
    "db_restore": {"src": "in"},
    "kek_pkcs11_init": {"version": 1},
    "kek_remove": {"version": 1},
    "kek_rotate": {"to_version": 2},
    "secrets_archive": {
        "src": "in",
        "dest": "out",
        "name": "cap1",
        "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
    },
}

# Runs every module in a process where no library of ours can be imported; prints {module: result}.
WITHOUT_LIBRARIES = """
import contextlib, importlib, io, json, sys
from ansible.module_utils import basic

given = json.load(sys.stdin)
for library in ("pymongo", "bson", "gridfs", "cryptography", "yaml", "pyrage", "pkcs11"):
    for loaded in [name for name in sys.modules if name.split(".")[0] == library]:
        del sys.modules[loaded]
    sys.modules[library] = None
results = {}
for name, options in given.items():
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        importlib.import_module(f"ansible_collections.certautopilot.ops.plugins.modules.{name}").main()
    results[name] = json.loads(printed.getvalue())
print(json.dumps(results))
"""


def main_of(name):
    return importlib.import_module(f"{PLUGINS}.modules.{name}").main


def required(name, folder):
    paths = ("path", "dest", "src", "identity_file")
    return {key: str(folder / value) if key in paths else value for key, value in REQUIRED.get(name, {}).items()}


@pytest.fixture
def unreachable(tmp_path, monkeypatch):
    """Return options of an env installation whose database does not answer."""
    monkeypatch.setattr(f"{PLUGINS}.module_utils._store.opening.SERVER_SELECTION_TIMEOUT_MS", 50)
    secrets = tmp_path / "secrets.env"
    secrets.write_text(f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1={KEY}\n")
    secrets.chmod(0o600)
    return {
        "provider": "env",
        "mongodb_uri": "mongodb://app:hunter2hunter2@127.0.0.1:9/cap",
        "secrets_file": str(secrets),
    }


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ON_AN_INSTALLATION)
def test_a_module_without_settings_says_what_is_missing_and_writes_nothing(name, check, call, tmp_path):
    result = call(main_of(name), check=check, **required(name, tmp_path))

    assert result["rc"] == 1
    assert result["failure"]["code"] == ("manifest.missing" if name == "data_import" else "settings.missing")
    assert result["failure"]["hint"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name in ON_AN_INSTALLATION if name not in ("data_import", "pkcs11_token")])
def test_a_database_that_does_not_answer_is_named_and_the_run_may_be_repeated(name, call, unreachable, tmp_path):
    result = call(main_of(name), **unreachable, **required(name, tmp_path))

    assert result["failure"]["code"] == "database.unreachable"
    assert result["failure"]["retryable"] is True
    assert "127.0.0.1:9" in result["msg"]
    assert "hunter2" not in str(result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("check", "made"), [(True, False), (False, True)])
def test_bundle_identity_needs_no_installation(check, made, call, tmp_path):
    path = tmp_path / "identity"

    result = call(main_of("bundle_identity"), installed=False, check=check, path=str(path))

    assert (result["rc"], result["changed"], path.exists()) == (0, True, made)
    assert bool(result["recipient"]) is made
    assert "AGE-SECRET-KEY" not in str(result)


def test_t11_every_module_starts_without_its_libraries_and_names_the_first_that_it_misses(tmp_path):
    given = {name: required(name, tmp_path) for name in WITH_LIBRARIES}

    child = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARIES], input=json.dumps(given), capture_output=True, text=True,
        check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT / ".build/collections"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    results = json.loads(child.stdout)

    assert sorted(results) == WITH_LIBRARIES
    assert {name: result["failure"]["code"] for name, result in results.items()} == dict.fromkeys(
        WITH_LIBRARIES, "dependency.missing"
    )
    assert all(sys.executable in result["msg"] for result in results.values())


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(("name", "state"), [("product_service", "stopped"), ("return_switch", "disarmed")])
def test_a_host_without_systemd_is_named_and_told_of_the_other_way(name, state, check, call, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{PLUGINS}.module_utils._host.programs.BOOTED", tmp_path / "not there")

    result = call(main_of(name), installed=False, check=check, state=state)

    assert (result["rc"], result["failure"]["code"]) == (1, "service.no_systemd")
    assert "service_manager: command" in result["failure"]["hint"]


def test_asking_a_host_without_systemd_for_a_unit_is_no_failure(call, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{PLUGINS}.module_utils._host.programs.BOOTED", tmp_path / "not there")

    result = call(main_of("service_unit_info"), installed=False)

    assert (result["rc"], result["systemd"], result["service"]["exists"], result["service"]["user"]) == (
        0,
        False,
        False,
        "",
    )


@pytest.mark.parametrize("name", ["data_export", "data_import"])
def test_what_travels_unless_others_are_named_is_one_list_though_modules_cannot_import_it(name):
    # They import `_module` before anything else (X77), and the documentation has to spell defaults out anyhow.
    carried = importlib.import_module(f"{PLUGINS}.module_utils._domain.what_travels").CARRIED
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")

    assert module.ARGUMENTS["carry"]["default"] == list(carried)
