# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task's arguments to a verb and back: what the verb gets, and what Ansible gets in each way it can end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime

import pytest
from ansible.module_utils import basic
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.result import Result
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry
from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module

SECRET = "a-secret-in-an-exception-text"
URI = "mongodb://app:hunter2hunter2@db.example/cap"


@dataclass(frozen=True)
class Options:
    names: tuple[str, ...] = ()
    size: int = 5
    note: str | None = None


ARGUMENTS = with_installation(
    names={"type": "list", "elements": "str"}, size={"type": "int", "default": 500}, note={"type": "str"}
)


def module_of(verb):
    return lambda: run_module(ARGUMENTS, Options, verb)


def recorder(result=None):
    """Return a verb that remembers how it was called, and the list of calls."""
    calls = []

    def verb(settings, options, *, check, warn):
        calls.append((settings, options, check))
        return result or Result(changed=False, values={}, before={}, after={})

    return verb, calls


@pytest.fixture
def files(tmp_path):
    """Return the options that name a sound pair of configuration files."""
    config, secrets = tmp_path / "config.yaml", tmp_path / "secrets.env"
    config.write_text("encryption: {provider: env}\ndatabase: {name: cap}\n")
    secrets.write_text(f"CERTAUTOPILOT_DATABASE_URI={URI}\n")
    secrets.chmod(0o600)
    return {"config_file": str(config), "secrets_file": str(secrets)}


def test_the_verb_gets_its_options_with_tuples_and_its_own_defaults(call, files):
    verb, calls = recorder()

    call(module_of(verb), **files, names=["a", "b"])

    assert calls[0][1] == Options(names=("a", "b"), size=500, note=None)


def test_the_verb_gets_settings_from_both_files(call, files):
    verb, calls = recorder()

    call(module_of(verb), **files)

    uri, name = calls[0][0].require_database()
    assert (uri.reveal(), name) == (URI, "cap")
    assert registry.configured(calls[0][0]).NAME == "env"


@pytest.mark.parametrize("check", [True, False])
def test_the_verb_is_told_whether_it_may_write(call, files, check):
    verb, calls = recorder()

    call(module_of(verb), **files, check=check)

    assert calls[0][2] is check


def test_a_result_is_returned_with_a_diff_only_when_it_was_asked_for(call, files):
    verb, _calls = recorder(Result(changed=True, values={"lock": 1}, before={"version": 1}, after={"version": 2}))

    plain, with_diff = call(module_of(verb), **files), call(module_of(verb), **files, diff=True)

    assert (plain["changed"], plain["lock"], plain["rc"]) == (True, 1, 0)
    assert "diff" not in plain
    assert with_diff["diff"] == {"before": {"version": 1}, "after": {"version": 2}}


def test_driver_types_in_a_result_become_plain_json(call, files):
    verb, _calls = recorder(Result(True, {"at": datetime(2026, 5, 1, 9), "raw": b"\xff", "ids": (1, 2)}, {}, {}))

    result = call(module_of(verb), **files)

    assert (result["at"], result["raw"], result["ids"]) == ("2026-05-01T09:00:00Z", "ff", [1, 2])


def test_a_refusal_is_a_structured_failure_with_its_facts(call, files):
    def verb(settings, options, *, check, warn):
        raise OpsError("found 1, expected 2", code="demo.count", hint="add one", retryable=True, left=(1, 2)).at("move")

    result = call(module_of(verb), **files)

    assert result["failed"] is True
    assert result["rc"] == 1
    assert "found 1, expected 2" in result["msg"]
    assert result["failure"] == {"code": "demo.count", "step": "move", "retryable": True, "hint": "add one"}
    assert result["left"] == [1, 2]


@pytest.mark.parametrize("tracebacks", [False, True])
def test_an_unforeseen_exception_is_named_by_type_and_place_and_its_text_is_not_shown(
    call, files, monkeypatch, tracebacks
):
    # given: at -vvv (ansible-core 2.18) or with tracebacks asked for (2.19 and later) fail_json adds a pending one
    if tracebacks and hasattr(basic, "_traceback"):
        monkeypatch.setattr(basic._traceback, "is_traceback_enabled", lambda *_events: True)

    def verb(settings, options, *, check, warn):
        raise KeyError(SECRET)

    result = call(module_of(verb), **files, verbosity=4 if tracebacks else 0)

    assert result["failure"]["code"] == "internal.unexpected"
    assert "KeyError" in result["msg"]
    assert ".py:" in result["msg"]
    assert SECRET not in str(result)


def test_t11_a_named_file_that_is_missing_fails_before_the_verb(call, files, tmp_path):
    verb, calls = recorder()

    result = call(module_of(verb), **{**files, "secrets_file": str(tmp_path / "nowhere.env")})

    assert result["failure"]["code"] == "file.missing"
    assert "nowhere.env" in result["msg"]
    assert calls == []


def test_t7_environment_and_config_that_disagree_fail_before_the_verb(call, files, monkeypatch):
    monkeypatch.setenv("CERTAUTOPILOT_ENCRYPTION_PROVIDER", "pkcs11")
    verb, calls = recorder()

    result = call(module_of(verb), **files)

    assert result["failure"]["code"] == "settings.conflict"
    assert "environment" in result["msg"]
    assert files["config_file"] in result["msg"]
    assert calls == []


def test_secrets_that_a_verb_returns_by_mistake_are_masked(call, files):
    verb, _calls = recorder(Result(False, {"oops": f"password hunter2hunter2 of {URI}", "count": 1234}, {}, {}))

    result = call(module_of(verb), **files)

    assert "hunter2" not in str(result)
    assert result["count"] == 1234


def test_an_inline_pin_that_is_too_short_to_be_masked_is_warned_of_without_showing_it(call, files):
    verb, _calls = recorder()

    result = call(module_of(verb), **files, pkcs11_pin="97531")

    assert any("pkcs11_pin_file" in str(warning) for warning in result["warnings"])
    assert "97531" not in str(result)


def test_the_obsolete_variable_is_warned_of(call, files, monkeypatch):
    monkeypatch.setenv("CERTAUTOPILOT_ENCRYPTION_CURRENT_VERSION", "2")
    verb, _calls = recorder()

    result = call(module_of(verb), **files)

    assert any("CERTAUTOPILOT_ENCRYPTION_CURRENT_VERSION" in str(warning) for warning in result["warnings"])


def test_a_missing_library_is_named_with_minimum_and_interpreter(call, files, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymongo", None)
    verb, calls = recorder()

    result = call(module_of(verb), **files)

    assert result["failure"]["code"] == "dependency.missing"
    assert "pymongo >= 4.9" in result["msg"]
    assert sys.executable in result["msg"]
    assert calls == []


def test_x37_names_and_paths_are_whole_though_a_secret_is_a_word_in_them_and_the_operator_is_warned(call, files):
    with open(files["secrets_file"], "a", encoding="ascii") as secrets:
        secrets.write("CERTAUTOPILOT_JWT_SECRET=credentials\nCERTAUTOPILOT_API_KEY_PEPPER=q8-Zr5-Lm2\n")
    verb, _calls = recorder(Result(True, {"path": "/backup/dns_credentials.bson", "leak": "x q8-Zr5-Lm2"}, {}, {}))

    result = call(module_of(verb), **files)

    assert (result["path"], result["leak"]) == ("/backup/dns_credentials.bson", "x ********")
    assert any("a secret of this installation is an ordinary word" in str(warning) for warning in result["warnings"])


def test_x37_a_failure_and_a_secret_that_was_given_as_an_option_stay_masked(call, files):
    def refusing(settings, options, *, check, warn):
        raise OpsError("it says credentials", code="demo.leak", hint="none")

    with open(files["secrets_file"], "a", encoding="ascii") as secrets:
        secrets.write("CERTAUTOPILOT_JWT_SECRET=credentials\n")
    verb, _calls = recorder(Result(True, {"path": "/backup/mypinword.bson"}, {}, {}))

    failed, given = call(module_of(refusing), **files), call(module_of(verb), **files, pkcs11_pin="mypinword")

    assert "credentials" not in failed["msg"]
    assert "mypinword" not in str(given)
    assert any("a secret of this installation is an ordinary word" in str(warning) for warning in given["warnings"])


HOSTILE = "zone\x1b[2J\x9b31m\u202e\nok: [host]"
SHOWN = r"zone\x1b[2J\x9b31m\u202e\nok: [host]"


def test_x28_terminal_escapes_of_the_database_are_codes_in_a_failure(call, files):
    def verb(settings, options, *, check, warn):
        raise OpsError(f"found {HOSTILE}", code="demo.x", hint=f"see {HOSTILE}", step=HOSTILE, where=[{HOSTILE: 1}])

    result = call(module_of(verb), **files)

    assert result["msg"].startswith(f"found {SHOWN}")
    assert (result["failure"]["hint"], result["failure"]["step"]) == (f"see {SHOWN}", SHOWN)
    assert unseen([result["msg"], result["failure"], result["where"]]) == set()


def test_x28_terminal_escapes_of_the_database_are_codes_in_warnings_results_and_diffs(call, files):
    def verb(settings, options, *, check, warn):
        warn(f"no {HOSTILE}")
        return Result(True, {"names": [HOSTILE], "by_name": {HOSTILE: 1}}, {"a": HOSTILE}, {HOSTILE: "b"})

    result = call(module_of(verb), **files, diff=True)

    assert f"no {SHOWN}" in str(result["warnings"]).replace("\\\\", "\\")
    assert list(result["by_name"]) == [SHOWN]
    assert unseen(result) == {"\n"}, "lines of a value stay lines: whoever prints a result escapes or indents them"


def unseen(value):
    """Return the characters of all texts in a result that cannot be seen."""
    if isinstance(value, dict):
        return {found for pair in value.items() for part in pair for found in unseen(part)}
    if isinstance(value, list):
        return {found for part in value for found in unseen(part)}
    return {letter for letter in value if not letter.isprintable()} if isinstance(value, str) else set()
