# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every changing module, run by Ansible four times: check, real, check again, real again."""

from __future__ import annotations

import pytest

from tests.integration import stock
from tests.integration.token import PIN, SO_PIN
from tests.support import softhsm

from .conftest import files_of
from .test_no_secret_shows import leaks

CHECK = {"check_mode": True}


def four_times(module, options):
    return [(module, options, keywords) for keywords in (CHECK, {}, CHECK, {})]


def changed(results):
    return [result["changed"] for result in results]


@pytest.fixture
def identity(tmp_path):
    return str(tmp_path / "identity")


def test_a_whole_migration_module_by_module(play, env_site, hsm_site, identity, tmp_path):
    source, destination = files_of(env_site), files_of(hsm_site)
    made = play(*four_times("bundle_identity", {"path": identity}))
    export = {**source, "dest": str(tmp_path / "bundle"), "recipients": [made.results[-1]["recipient"]]}
    bundle = {"src": str(tmp_path / "bundle"), "identity_file": identity, "trust": "bundle"}

    done = play(
        *four_times("db_backup", {**source, "dest": str(tmp_path / "backup")}),
        *four_times("data_export", export),
        *four_times("kek_pkcs11_init", {**destination, "version": 1}),
        *four_times("kek_install_lock", destination),
        *four_times("data_import", {**destination, **bundle}),
        ("data_import", {**destination, **bundle, "mode": "verify"}, {}),
        *four_times("migration_accept", destination),
        *four_times("kek_pkcs11_init", {**destination, "version": 2}),
        *four_times("kek_rotate", {**destination, "to_version": 2, "allow_empty_fleet": True}),
        *four_times("cert_export", {**destination, "dest": str(tmp_path / "certificates")}),
        *four_times("migration_turn", destination),
        *four_times("migration_writes", destination),
        *four_times("fleet_quiet", {**destination, "quiet_for": 1}),
        *four_times("service_access", destination),
        ("kek_info", {**destination, "digest": True}, {}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    assert changed(made.results) == [True, True, False, False]
    once, never = [True, True, False, False], [False] * 4
    assert changed(done.results) == [
        *once, *once, *once, *never, *once, False, *once, *once, *once, *never, *once, *never, *never, *never, False,
    ]  # fmt: skip
    imported = done.results[17]
    assert (imported["manifest"]["records"], imported["manifest"]["equal"]) == (17, 17)
    info = done.results[-1]
    assert (info["lock"]["provider"], info["active"]["version"]) == ("pkcs11", 2)
    assert info["envelopes"]["by_version"] == {"2": 12}
    assert info["migration"]["state"] == "accepted"


def test_the_days_after_a_migration_module_by_module(play, env_site, tmp_path, identity):
    files, dest = files_of(env_site), str(tmp_path / "backup")
    (recipient,) = {one["recipient"] for one in play(("bundle_identity", {"path": identity}, {})).results}
    backup = play(("db_backup", {**files, "dest": dest}, {})).results[0]["manifest"]
    meant = {"install_id": backup["install_id"], "source_digest": backup["source_digest"], "confirm": env_site.name}
    archive = {"src": files["secrets_file"], "dest": str(tmp_path / "archive"), "name": "cap1"}

    done = play(
        *four_times("db_backup_check", {**files, "src": dest}),
        *four_times("db_drop", {**files, **meant}),
        *four_times("secrets_archive", {**archive, "recipients": [recipient]}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    assert changed(done.results) == [*[False] * 4, *[True, True, False, False] * 2]
    assert done.results[4]["diff"] == done.results[5]["diff"]


def test_a_first_env_lock_four_times(play, new_site):
    site = new_site()
    site.add_kek(1)
    site.write()

    done = play(*four_times("kek_install_lock", files_of(site)), arguments=["--diff"])

    assert changed(done.results) == [True, True, False, False]
    assert done.results[0]["diff"] == done.results[1]["diff"]
    assert done.results[0]["diff"]["after"]["provider"] == "env"


def test_without_diff_no_diff_is_returned(play, new_site):
    site = new_site()
    site.add_kek(1)
    site.write()

    done = play(("kek_install_lock", files_of(site), {}))

    assert "diff" not in done.results[0]


def test_a_failure_is_structured(play, env_site):
    env_site.db.kek_install.update_one({}, {"$set": {"provider": "pkcs11"}})

    done = play(("kek_rotate", {**files_of(env_site), "to_version": 2}, {"ignore_errors": True}))

    assert done.results[0]["failed"]
    assert done.results[0]["failure"]["code"] == "rotate.crosses_provider"
    assert sorted(done.results[0]["failure"]) == ["code", "hint", "retryable", "step"]


def test_settings_come_from_the_products_own_files_when_no_option_is_given(play, env_site):
    done = play(("kek_info", files_of(env_site), {}))

    assert done.results[0]["envelopes"]["total"] == 12


@pytest.mark.parametrize("pipelining", [True, False])
def test_hsm_workers_run_from_the_packed_module(play, hsm_site, pipelining):
    done = play(("kek_pkcs11_init", {**files_of(hsm_site), "version": 1}, {}), pipelining=pipelining)

    assert done.status == 0, done.output
    assert done.results[0]["probe"]["iv_mode"] == "caller"


def test_a_backup_and_its_restore(play, env_site, new_site, identity, tmp_path):
    source, target = files_of(env_site), new_site()
    target.write()
    made = play(("bundle_identity", {"path": identity}, {}))
    backup = {**source, "dest": str(tmp_path / "backup"), "recipients": [made.results[0]["recipient"]]}
    restore = {**files_of(target), "src": str(tmp_path / "backup"), "identity_file": identity}

    done = play(
        *four_times("db_backup", {**backup, "encrypt": "all", "keep_config": True}),
        *four_times("db_restore", restore),
        ("kek_info", {**source, "digest": True}, {}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    assert changed(done.results) == [True, True, False, False, True, True, False, False, False]
    assert done.results[5]["restored"]["records_digest"] == done.results[-1]["database"]["digest"]
    assert done.results[1]["manifest_sha256"] == done.results[3]["manifest_sha256"]


def test_a_certificate_from_a_backup_of_another_installation_four_times(play, env_site, hsm_site, identity, tmp_path):
    made = play(
        ("bundle_identity", {"path": identity}, {}), ("kek_pkcs11_init", {**files_of(hsm_site), "version": 1}, {})
    )
    web = stock.project(env_site, "Web")
    stock.certificate(env_site, web, "web")
    hsm_site.db.projects.insert_one(env_site.db.projects.find_one())
    backup = {"dest": str(tmp_path / "backup"), "recipients": [made.results[0]["recipient"]]}
    recover = {"src": str(tmp_path / "backup"), "identity_file": identity, "names": ["web"]}

    done = play(
        ("db_backup", {**files_of(env_site), **backup}, {}),
        *four_times("cert_recover", {**files_of(hsm_site), **recover}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    assert changed(done.results) == [True, True, True, False, False]
    assert done.results[1]["diff"] == done.results[2]["diff"]
    assert done.results[2]["records"] == 2
    assert "PRIVATE KEY" not in done.output


def test_certificates_with_keys_four_times_and_what_cannot_be_exported_is_in_the_result(play, env_site, tmp_path):
    stock.allow_key_export(env_site)
    web = stock.project(env_site, "Web")
    stock.certificate(env_site, web, "web")
    export = {
        **files_of(env_site),
        "dest": str(tmp_path / "out"),
        "formats": ["key.pem", "cert.pem"],
        "include_keys": True,
    }

    done = play(*four_times("cert_export", {**export, "mode": "0640"}), arguments=["--diff"])
    stock.certificate(env_site, web, "pending", certificate_pem="", with_key=False)
    failed = play(("cert_export", export, {"ignore_errors": True}))

    assert done.status == 0, done.output
    assert changed(done.results) == [True, True, False, False]
    assert done.results[0]["diff"] == done.results[1]["diff"]
    assert "PRIVATE KEY" not in done.output
    (result,) = failed.results
    assert (result["failed"], result["changed"], result["failure"]["code"]) == (True, True, "export.incomplete")
    assert [one["code"] for one in result["failures"]] == ["certificate.pending"]
    assert result["counts"] == {"written": 1, "incomplete": 0, "failed": 1}


def test_a_version_is_removed_once_and_its_removal_foretold(play, env_site):
    env_site.add_kek(2)
    env_site.write()
    site = files_of(env_site)
    rotated = play(("kek_rotate", {**site, "to_version": 2, "allow_empty_fleet": True}, {}))

    done = play(*four_times("kek_remove", {**site, "version": 1, "grace": 0}), arguments=["--diff"])

    assert (rotated.status, done.status) == (0, 0), done.output
    assert changed(done.results) == [True, True, False, False]
    assert done.results[0]["diff"] == done.results[1]["diff"]
    assert env_site.db.kek_journal.count_documents({"verb": "kek_remove"}) == 1


def test_a_scratch_installation_begins_once_and_goes_once(play, env_site):
    name = f"{env_site.name}_scratch"
    scratch = {**files_of(env_site), "config_file": "/dev/null", "provider": "env", "mongodb_database": name}
    installed = env_site.db.kek_install.find_one()["install_id"]

    done = play(
        *four_times("scratch_installation", {**scratch, "of": installed}),
        *four_times("scratch_installation", {**scratch, "state": "absent"}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    assert changed(done.results) == [True, True, False, False] * 2
    assert name not in env_site.client.list_database_names()


def test_a_token_is_made_once_and_neither_pin_is_shown(play, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm.configuration(tmp_path / "softhsm")))
    for name, pin in (("pin", PIN), ("so-pin", SO_PIN)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(pin)
    options = {
        "config_file": "/dev/null", "secrets_file": "/dev/null", "pkcs11_module_path": softhsm.module_path(),
        "pkcs11_token_label": "four-runs", "pkcs11_pin_file": str(tmp_path / "pin"),
        "so_pin_file": str(tmp_path / "so-pin"),
    }  # fmt: skip

    done = play(*four_times("pkcs11_token", options), arguments=["--diff", "-vvv"])

    assert done.status == 0, done.output
    assert changed(done.results) == [True, True, False, False]
    checked, made, *again = (result["token"] for result in done.results)
    assert (checked, [made, made]) == (None, again)
    assert [result["diff"]["before"] for result in done.results[:2]] == [{"token": "absent"}] * 2
    assert leaks(done.output, {"pin": PIN.encode(), "so_pin": SO_PIN.encode()}) == []
