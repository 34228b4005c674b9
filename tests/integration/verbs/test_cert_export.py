# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_export from the database of a real server; the openssl program is the oracle for what is in the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration import stock
from tests.support import pki

WITH_KEYS = ("fullchain.pem", "key.pem", "bundle.pkcs12", "bundle.zip")


@pytest.fixture
def stocked(env_site):
    """Two projects; in the first two certificates of one name and one without key, in the second one."""
    stock.allow_key_export(env_site)
    payments, web = stock.project(env_site, "Payments"), stock.project(env_site, "Web")
    for project, name, with_key in (
        (payments, "api", True), (payments, "api", True), (payments, "own-csr", False), (web, "*.web.example", True),
    ):  # fmt: skip
        stock.certificate(env_site, project, name, with_key=with_key)
    return env_site


@pytest.fixture
def passphrase_file(tmp_path):
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_text("correct horse battery\n")
    return str(path)


def modes(folder):
    return {oct(path.stat().st_mode & 0o777) for path in Path(folder).rglob("*") if path.is_file()}


def test_certificates_without_keys_need_no_kek(stocked, tmp_path):
    stocked.keks = {}
    stocked.write()

    result = stocked.call("cert_export", dest=str(tmp_path / "out"))

    assert len(result.values["certificates"]) == 4
    assert not list((tmp_path / "out").rglob("key.pem"))
    assert modes(tmp_path / "out") == {"0o600"}


def test_keys_are_exported_and_belong_to_their_certificates(stocked, tmp_path, passphrase_file):
    result = stocked.call(
        "cert_export", dest=str(tmp_path / "out"), formats=WITH_KEYS, include_keys=True, passphrase_file=passphrase_file
    )

    entries = {entry["name"]: entry for entry in result.values["certificates"]}
    assert [entry["has_key"] for entry in result.values["certificates"]].count(False) == 1
    assert "PRIVATE KEY" not in json.dumps(result.values)
    for path in (tmp_path / "out").rglob("key.pem"):
        assert pki.public_key(path.read_bytes()) == pki.public_of(path.with_name("fullchain.pem").read_bytes())
    assert len(list((tmp_path / "out").rglob("bundle.pkcs12"))) == 3
    assert Path(entries["*.web.example"]["files"][0]).parent.name == "wildcard.web.example"
    assert len(list((tmp_path / "out" / "payments").iterdir())) == 3
    assert any("own-csr" in warning for warning in stocked.warnings)


def test_an_export_predicts_then_writes_then_changes_nothing(stocked, tmp_path, passphrase_file):
    options = {"dest": str(tmp_path / "out"), "formats": WITH_KEYS, "include_keys": True}
    options["passphrase_file"] = passphrase_file

    predicted = stocked.call("cert_export", check=True, **options)
    nothing_yet = not (tmp_path / "out").exists()
    real = stocked.call("cert_export", **options)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = stocked.call("cert_export", **options)

    assert nothing_yet
    assert predicted.changed
    assert predicted.values == real.values
    assert not again.changed
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == stamps


def test_one_damaged_file_is_written_anew_and_the_others_are_not(stocked, tmp_path):
    stocked.call("cert_export", dest=str(tmp_path / "out"))
    victim = next((tmp_path / "out" / "web").rglob("cert.pem"))
    victim.write_text("damaged")

    result = stocked.call("cert_export", dest=str(tmp_path / "out"))

    assert (result.changed, result.before["current"], result.after["current"]) == (True, 11, 12)
    assert "BEGIN CERTIFICATE" in victim.read_text()


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"projects": ("web",)}, ["*.web.example"]),
        ({"projects": ("Payments",), "names": ("own-csr",)}, ["own-csr"]),
        ({"names": ("api",)}, ["api", "api"]),
    ],
)
def test_projects_and_names_choose(stocked, tmp_path, filters, names):
    result = stocked.call("cert_export", dest=str(tmp_path / "out"), **filters)

    assert [entry["name"] for entry in result.values["certificates"]] == names


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"formats": ("key.pem",)}, "export.keys_not_allowed"),
        ({"formats": ("bundle.pkcs12",), "include_keys": True}, "export.passphrase_missing"),
        ({"formats": ("cert.der",)}, "export.formats"),
        ({"formats": ()}, "export.formats"),
        ({"projects": ("nowhere",)}, "export.not_found"),
        ({"names": ("nobody",)}, "export.not_found"),
        ({"passphrase_file": "/nonexistent/passphrase"}, "file.missing"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused_and_writes_nothing(stocked, tmp_path, options, code):
    with pytest.raises(OpsError) as refusal:
        stocked.call("cert_export", dest=str(tmp_path / "out"), **options)

    assert refusal.value.code == code
    assert not (tmp_path / "out").exists()


def _exported(site, dest, **named):
    return site.call("cert_export", dest=str(dest), formats=WITH_KEYS[:2], include_keys=True, **named)


@pytest.mark.parametrize("below", [(), ("payments",), ("payments", "own-csr")], ids=["dest", "project", "certificate"])
def test_x24_a_key_is_not_written_through_a_link_that_somebody_planted(stocked, tmp_path, below):
    site, elsewhere, dest = stocked, tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    planted = dest.joinpath(*below)
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.symlink_to(elsewhere)

    with pytest.raises(OpsError) as refused:
        _exported(site, dest)

    assert (refused.value.code, str(planted) in refused.value.message) == ("file.kind", True)
    assert list(elsewhere.iterdir()) == []


def test_x24_a_link_in_the_place_of_a_key_is_replaced_and_what_it_leads_to_stays(stocked, tmp_path):
    site, dest, victim = stocked, tmp_path / "out", tmp_path / "victim"
    _exported(site, dest)
    victim.write_text("theirs")
    planted = sorted(dest.rglob("key.pem"))[0]
    planted.unlink()
    planted.symlink_to(victim)

    again = _exported(site, dest)

    assert (again.changed, victim.read_text(), planted.is_symlink()) == (True, "theirs", False)
    assert not _exported(site, dest).changed


@pytest.mark.parametrize("check", [False, True])
def test_x24_keys_are_not_written_where_others_may_write(stocked, tmp_path, check):
    dest = tmp_path / "out"
    dest.mkdir()
    dest.chmod(0o777)

    with pytest.raises(OpsError) as refused:
        _exported(stocked, dest, check=check)

    assert (refused.value.code, list(dest.iterdir())) == ("file.permissions", [])


def test_x27_a_key_that_a_killed_run_left_is_gone_though_nothing_else_changes(stocked, tmp_path):
    site, dest = stocked, tmp_path / "out"
    _exported(site, dest)
    left = sorted(dest.rglob("key.pem"))[0].with_name(".certautopilot-unfinished.0123456789abcdef")
    left.write_text("-----BEGIN PRIVATE KEY-----")

    again = _exported(site, dest)

    assert (again.changed, left.exists()) == (False, False)
