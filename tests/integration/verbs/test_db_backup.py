# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_backup on a real server; bson used directly is the oracle."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import backup_manifest, dump


def modes(folder):
    return {oct(path.stat().st_mode & 0o777) for path in Path(folder).rglob("*") if path.is_file()}


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
