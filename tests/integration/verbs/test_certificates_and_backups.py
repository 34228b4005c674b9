# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_export and db_backup on a real server; openssl and bson used directly are the oracles."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import subprocess
from pathlib import Path

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import backup_manifest, dump
from bson import ObjectId
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.sealed import envelope

WITH_KEYS = ("fullchain.pem", "key.pem", "bundle.p12", "bundle.zip")


def certificate(common_name):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
    signed = built.not_valid_after(start + datetime.timedelta(days=90)).sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, key_pem


@pytest.fixture
def stocked(env_site):
    """Two projects; in the first two certificates of one name and one without key, in the second one."""
    site = env_site
    projects = [ObjectId(), ObjectId()]
    site.db.projects.insert_many(
        {"_id": p, "name": name, "slug": name.lower()} for p, name in zip(projects, ("Payments", "Web"), strict=True)
    )
    for project, name, with_key in (
        (projects[0], "api", True),
        (projects[0], "api", True),
        (projects[0], "own-csr", False),
        (projects[1], "*.web.example", True),
    ):
        pem, key_pem = certificate(name)
        record_id, key_id = ObjectId(), ObjectId()
        site.db.certificates.insert_one(
            {"_id": record_id, "project_id": project, "name": name, "common_name": name, "certificate_pem": pem,
             "chain_pem": pem, "not_after": datetime.datetime(2026, 4, 1)}
        )  # fmt: skip
        if with_key:
            sealed = envelope(site.keks[1], key_id, "encrypted_key", key_pem)
            site.db.certificate_private_keys.insert_one(
                {"_id": key_id, "certificate_id": record_id, "encrypted_key": sealed, "kek_version": 1}
            )
    return site


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
        public = subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout"], capture_output=True, check=True)
        leaf = ["openssl", "x509", "-in", str(path.with_name("fullchain.pem")), "-noout", "-pubkey"]
        assert subprocess.run(leaf, capture_output=True, check=True).stdout == public.stdout
    assert len(list((tmp_path / "out").rglob("bundle.p12"))) == 3
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
        ({"formats": ("bundle.p12",), "include_keys": True}, "export.passphrase_missing"),
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


def test_a_backup_holds_the_servers_bytes_and_can_be_read_without_us(env_site, tmp_path):
    manifest = env_site.call("db_backup", dest=str(tmp_path / "backup")).values["manifest"]

    folder = tmp_path / "backup" / env_site.name
    raw = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    standing = env_site.db.get_collection("dns_credentials", codec_options=raw).find(sort=[("_id", 1)])
    assert (folder / "dns_credentials.bson").read_bytes() == b"".join(document.raw for document in standing)
    metadata = json.loads((folder / "dns_credentials.metadata.json").read_text())
    assert [index["name"] for index in metadata["indexes"]] == ["_id_"]
    assert (manifest["envelopes"], manifest["collections"]["zones"]["documents"]) == (12, 5)
    assert modes(tmp_path / "backup") == {"0o600"}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700


def test_a_second_backup_of_the_same_state_changes_nothing_and_one_of_another_state_is_refused(env_site, tmp_path):
    dest = str(tmp_path / "backup")
    env_site.call("db_backup", dest=dest)

    again = env_site.call("db_backup", dest=dest)
    env_site.db.zones.insert_one({"_id": 100})
    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", dest=dest)

    assert not again.changed
    assert refusal.value.code == "backup.exists"


@pytest.mark.parametrize("victim", ["zones.bson", "zones.metadata.json", "first_zones.metadata.json"])
@pytest.mark.parametrize("fault", ["flipped", "gone"])
def test_x84_a_backup_whose_file_is_not_what_was_written_is_called_damaged(env_site, tmp_path, victim, fault):
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[])
    dest = tmp_path / "backup"
    env_site.call("db_backup", dest=str(dest))
    path = dest / env_site.name / victim
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content) if fault == "flipped" else path.unlink()

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", dest=str(dest))

    assert (refusal.value.code, victim in refusal.value.message) == ("backup.damaged", True)


def test_x84_a_backup_of_an_earlier_release_has_no_digests_of_its_metadata_and_is_still_one(env_site, tmp_path):
    dest = tmp_path / "backup"
    env_site.call("db_backup", dest=str(dest))
    manifest = json.loads((dest / "backup.json").read_text())
    for added in ("views", "files", "own_sha256"):
        del manifest[added]
    for entry in manifest["collections"].values():
        del entry["metadata_sha256"]
    (dest / "backup.json").write_text(json.dumps(manifest))

    assert not env_site.call("db_backup", dest=str(dest)).changed
    assert backup_manifest.read(dest) is not None


def test_x2_the_versions_of_a_backup_are_those_of_the_envelopes_in_it_though_a_rotation_ends_meanwhile(
    env_site, tmp_path, monkeypatch
):
    env_site.add_kek(2)
    env_site.write()
    read_back, rotated = dump.read_back, []

    def after_a_rotation(path, note):
        if not rotated:
            rotated.append(env_site.call("kek_rotate", to_version=2))
        return read_back(path, note)

    monkeypatch.setattr(dump, "read_back", after_a_rotation)

    manifest = env_site.call("db_backup", dest=str(tmp_path / "backup")).values["manifest"]

    content = (tmp_path / "backup" / env_site.name / "dns_credentials.bson").read_bytes()
    versions = {document["kek_version"] for document in bson.decode_all(content)}
    assert rotated[0].values["rotation"]["state"] == "complete"
    assert (manifest["kek_versions"], versions) == ([1], {1})


def test_a_folder_with_something_else_in_it_is_no_place_for_a_backup(env_site, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").touch()

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", dest=str(tmp_path / "full"))

    assert refusal.value.code == "backup.not_empty"


def test_x83_a_collection_whose_name_is_too_long_for_a_file_is_in_the_backup_with_its_name(env_site, tmp_path):
    name = "證" * 60
    env_site.db[name].insert_one({"_id": 1})

    manifest = env_site.call("db_backup", dest=str(tmp_path / "backup")).values["manifest"]

    file = tmp_path / "backup" / env_site.name / manifest["collections"][name]["file"]
    told = json.loads(file.with_name(file.name.removesuffix(".bson") + ".metadata.json").read_text("utf-8"))
    assert bson.decode_all(file.read_bytes()) == [{"_id": 1}]
    assert told["collectionName"] == name
    assert not env_site.call("db_backup", dest=str(tmp_path / "backup")).changed


def test_a_backup_that_does_not_read_back_leaves_nothing_behind(env_site, tmp_path, monkeypatch):
    real = dump.write_collection

    def loses_its_end(store, collection, into, raws):
        entry = real(store, collection, into, raws)
        path = into.folder / entry["file"]
        os.truncate(path, path.stat().st_size - 1)
        return entry

    monkeypatch.setattr(dump, "write_collection", loses_its_end)

    with pytest.raises(OpsError) as failure:
        env_site.call("db_backup", dest=str(tmp_path / "backup"))

    assert failure.value.code == "backup.damaged"
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


def test_a_backup_with_an_envelope_that_does_not_open_is_no_backup(env_site, tmp_path):
    env_site.db.dns_credentials.update_one({}, {"$set": {"encrypted_api_key.ciphertext": b"\1" * 20}})

    with pytest.raises(OpsError) as failure:
        env_site.call("db_backup", dest=str(tmp_path / "backup"))

    assert failure.value.code == "record.unreadable"
    assert not (tmp_path / "backup").exists()


def test_in_check_mode_a_backup_writes_nothing(env_site, tmp_path):
    assert env_site.call("db_backup", check=True, dest=str(tmp_path / "backup")).changed
    assert not (tmp_path / "backup").exists()


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


@pytest.fixture
def officers():
    """Two age identities; the first keeps backups."""
    return [pyrage.x25519.Identity.generate() for _number in range(2)]


def test_x35_the_secrets_file_is_in_a_backup_encrypted_to_its_recipients_and_in_no_other_form(
    env_site, tmp_path, officers
):
    options = {"dest": str(tmp_path / "backup"), "recipients": (str(officers[0].to_public()),)}
    with env_site.secrets_file.open("ab") as secrets:
        secrets.write(b"# without an end of the line")

    written = env_site.call("db_backup", **options)
    again = env_site.call("db_backup", **options)

    sealed = (tmp_path / "backup" / "secrets.env.age").read_bytes()
    assert pyrage.decrypt(sealed, [officers[0]]) == env_site.secrets_file.read_bytes()
    assert written.values["manifest"]["secrets"]["sha256"] == hashlib.sha256(sealed).hexdigest()
    assert not again.changed
    assert modes(tmp_path / "backup") == {"0o600"}
    kek = env_site.keks[1].hex().encode()
    assert [path for path in (tmp_path / "backup").rglob("*") if path.is_file() and kek in path.read_bytes()] == []


def test_x35_without_recipients_the_secrets_file_is_left_out_and_the_operator_is_told(env_site, tmp_path):
    manifest = env_site.call("db_backup", dest=str(tmp_path / "backup")).values["manifest"]

    assert "secrets" not in manifest
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["backup.json", env_site.name]
    assert any("is not in the backup" in warning for warning in env_site.warnings)


@pytest.mark.parametrize("before", [(), (1,)])
def test_x35_a_backup_that_others_can_open_is_not_taken_for_the_one_that_is_wanted(
    env_site, tmp_path, officers, before
):
    recipients = tuple(str(officers[number].to_public()) for number in before)
    env_site.call("db_backup", dest=str(tmp_path / "backup"), recipients=recipients)

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", dest=str(tmp_path / "backup"), recipients=(str(officers[0].to_public()),))

    assert refusal.value.code == "backup.exists"


def test_x35_a_secrets_file_that_is_not_what_was_written_makes_the_backup_a_damaged_one(env_site, tmp_path, officers):
    options = {"dest": str(tmp_path / "backup"), "recipients": (str(officers[0].to_public()),)}
    env_site.call("db_backup", **options)
    with (tmp_path / "backup" / "secrets.env.age").open("ab") as sealed:
        sealed.write(b"x")

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", **options)

    assert refusal.value.code == "backup.damaged"
    assert "secrets.env.age" in refusal.value.message


def test_x35_what_is_no_public_key_is_refused_before_anything_is_read(env_site, tmp_path):
    with pytest.raises(OpsError) as refusal:
        env_site.call("db_backup", dest=str(tmp_path / "backup"), recipients=("age1nonsense",))

    assert refusal.value.code == "bundle.recipient_invalid"
    assert not (tmp_path / "backup").exists()
