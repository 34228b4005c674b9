# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is what it says of itself: every file of it, and nothing besides; in clear, or encrypted as a whole.

Oracles: hashlib over the files, bson and pyrage used directly.
"""

from __future__ import annotations

import hashlib
import json

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import dump

PLAIN = b"secret 3"


@pytest.fixture
def officer():
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def whole(env_site, officer, tmp_path):
    """Options of a backup that is encrypted as a whole; the database has an index and a view."""
    env_site.db.zones.create_index([("apex", 1)], unique=True)
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[])
    options = {"dest": str(tmp_path / "backup"), "recipients": (str(officer.to_public()),), "encrypt": "all"}
    return {**options, "keep_config": True}


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refusal(site, options):
    with pytest.raises(OpsError) as refused:
        site.call("db_backup", **options)
    return refused.value


def test_a_whole_backup_is_encrypted_file_by_file_and_decrypts_to_what_the_server_holds(
    env_site, whole, officer, tmp_path
):
    written = env_site.call("db_backup", **whole)
    again = env_site.call("db_backup", **whole)

    folder, manifest = tmp_path / "backup", written.values["manifest"]
    assert [name for name in files_in(folder) if not name.endswith(".age")] == ["backup.json"]
    raw = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    for name, entry in manifest["collections"].items():
        kept = env_site.db.get_collection(name, codec_options=raw).find(sort=[("_id", 1)])
        opened = pyrage.decrypt((folder / env_site.name / entry["file"]).read_bytes(), [officer])
        assert opened == b"".join(document.raw for document in kept)
        assert entry["sha256"] == hashlib.sha256(opened).hexdigest()
    told = json.loads(
        pyrage.decrypt((folder / env_site.name / "zones.metadata.json.age").read_bytes(), [officer]).decode()
    )
    assert [index["name"] for index in told["indexes"]] == ["_id_", "apex_1"]
    config = pyrage.decrypt((folder / "config.yaml.age").read_bytes(), [officer])
    assert config == env_site.config_file.read_bytes()
    assert (manifest["envelopes"], manifest["recipients"], again.changed) == (12, [str(officer.to_public())], False)


def test_the_digests_of_a_backup_are_those_that_sha256sum_tells_of_its_files(env_site, whole, tmp_path):
    for dest, options in ((tmp_path / "one", {}), (tmp_path / "two", whole)):
        values = env_site.call("db_backup", **{**options, "dest": str(dest)}).values

        told = {name: hashlib.sha256((dest / name).read_bytes()).hexdigest() for name in files_in(dest)}
        assert told.pop("backup.json") == values["manifest_sha256"]
        assert told == values["manifest"]["files"]


def test_nothing_in_clear_reaches_the_disk_while_a_whole_backup_is_written(env_site, whole, tmp_path, monkeypatch):
    env_site.db.zones.insert_one({"_id": 99, "apex": "plain-to-see.example"})
    seen, real = [], dump.write_views

    def looking(store, into):
        seen.extend(path.read_bytes() for path in into.folder.rglob("*") if path.is_file())
        return real(store, into)

    monkeypatch.setattr(dump, "write_views", looking)

    env_site.call("db_backup", **whole)

    everything = [*seen, *(path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file())]
    assert len(seen) > 6
    assert [content for content in everything if b"plain-to-see" in content] == []


def test_an_envelope_that_does_not_open_makes_no_whole_backup(env_site, whole, tmp_path):
    env_site.db.dns_credentials.update_one({}, {"$set": {"encrypted_api_key.ciphertext": b"\1" * 20}})

    assert refusal(env_site, whole).code == "record.unreadable"
    assert not (tmp_path / "backup").exists()


def test_a_whole_backup_that_does_not_read_back_leaves_nothing_behind(env_site, whole, tmp_path, monkeypatch):
    real = dump.write_collection

    def flips_a_bit(store, collection, into, raws):
        entry = real(store, collection, into, raws)
        path = into.folder / entry["file"]
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        return entry

    monkeypatch.setattr(dump, "write_collection", flips_a_bit)

    assert refusal(env_site, whole).code == "backup.damaged"
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


@pytest.mark.parametrize("form", ["clear", "whole"])
def test_x84_any_file_of_a_backup_that_was_altered_or_removed_is_named(env_site, whole, tmp_path, form):
    options = whole if form == "whole" else {"dest": str(tmp_path / "backup")}
    env_site.call("db_backup", **options)
    folder = tmp_path / "backup"
    for name in files_in(folder):
        path, content = folder / name, (folder / name).read_bytes()
        middle = len(content) // 2
        altered = [
            content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            content + b" ",
            content[:-1],
        ]
        for now in altered if name != "backup.json" else [*altered, content.replace(b'"documents"', b'"documentz"', 1)]:
            path.write_bytes(now)
            refused = refusal(env_site, options)
            assert (refused.code, str(path) in refused.message) == ("backup.damaged", True)
        path.unlink()
        refused = refusal(env_site, options)
        if name == "backup.json":
            assert refused.code == "backup.not_empty"
        else:
            assert (refused.code, str(path) in refused.message) == ("backup.damaged", True)
        path.touch(mode=0o600)
        path.write_bytes(content)
    assert not env_site.call("db_backup", **options).changed


@pytest.mark.parametrize("where", ["", "database"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_x84_what_somebody_put_into_a_backup_is_named(env_site, tmp_path, where, kind):
    options = {"dest": str(tmp_path / "backup")}
    env_site.call("db_backup", **options)
    added = tmp_path / "backup" / (env_site.name if where else "") / "more.bson"
    {
        "file": lambda: added.write_bytes(bson.encode({"_id": 1})),
        "folder": added.mkdir,
        "link": lambda: added.symlink_to("/etc/hostname"),
    }[kind]()

    refused = refusal(env_site, options)

    assert (refused.code, str(added) in refused.message) == ("backup.damaged", True)


def test_who_may_open_a_whole_backup_has_to_be_said(env_site, tmp_path):
    assert refusal(env_site, {"dest": str(tmp_path / "backup"), "encrypt": "all"}).code == "backup.no_recipients"
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("changed", ["encrypt", "config"])
def test_a_backup_in_another_form_is_not_taken_for_the_one_that_is_wanted(env_site, whole, changed):
    env_site.call("db_backup", **whole)
    if changed == "config":
        with env_site.config_file.open("a") as config:
            config.write("# changed\n")

    wanted = {**whole, "encrypt": "secrets"} if changed == "encrypt" else whole

    assert refusal(env_site, wanted).code == "backup.exists"


def test_the_longest_names_fit_with_what_encryption_adds(env_site, whole, officer, tmp_path):
    names = ["n" * (length - 6) + "é" for length in (219, 234, 235, 236, 238, 239)]  # "é" becomes %C3%A9
    for number, name in enumerate(names):
        env_site.db[name].insert_one({"_id": number})

    manifest = env_site.call("db_backup", **whole).values["manifest"]

    for number, name in enumerate(names):
        sealed = tmp_path / "backup" / env_site.name / manifest["collections"][name]["file"]
        assert bson.decode_all(pyrage.decrypt(sealed.read_bytes(), [officer])) == [{"_id": number}]
