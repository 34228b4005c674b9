# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export and import on real servers and real age files: equality, idempotence, and every way a bundle can be wrong.

Oracles: pyrage and bson used directly to rewrite bundles, tests/support/sealed.py to open what was imported.
"""

from __future__ import annotations

import datetime
import io
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.support.age_keys import key_of, public_of
from tests.support.sealed import envelope, plaintext_of


@pytest.fixture
def exported(env_site, identity):
    dest = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(dest), recipients=(public_of(identity),))
    return dest


def frames_of(bundle, identity_file):
    key = key_of(identity_file)
    raw = pyrage.decrypt((bundle / "records.age").read_bytes(), [key])
    return list(bson.decode_file_iter(io.BytesIO(raw)))


def rewrite(bundle, identity_file, frames):
    """Encrypt other frames to the same recipient and let the manifest name the new file's hash, its seal as it was."""
    key = key_of(identity_file)
    raw = b"".join(bson.encode(frame) for frame in frames)
    (bundle / "records.age").write_bytes(pyrage.encrypt(raw, [key.to_public()]))


def refused(site, bundle, identity_file, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call("data_import", src=str(bundle), identity_file=str(identity_file), **options)
    assert site.documents() == before
    return refusal.value


def test_every_record_arrives_equal_under_the_other_kek(env_site, empty_env_site, exported, identity):
    result = empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))

    manifest = result.values["manifest"]
    assert (manifest["records"], manifest["equal"], manifest["imported"]) == (17, 17, 17)
    assert (manifest["different"], manifest["missing"], manifest["extra"]) == ([], [], [])
    for source in env_site.db.dns_credentials.find():
        arrived = empty_env_site.db.dns_credentials.find_one({"_id": source["_id"]})
        sealed = [d["encrypted_api_key"] for d in (source, arrived)]
        assert plaintext_of(env_site.keks[1], source["_id"], "encrypted_api_key", sealed[0]) == plaintext_of(
            empty_env_site.keks[1], source["_id"], "encrypted_api_key", sealed[1]
        )
        assert all(sealed[0][name] != sealed[1][name] for name in ("wrapped_dek", "nonce", "ciphertext"))
        assert list(source) == list(arrived)


def test_a_second_import_changes_nothing_and_a_second_export_neither(env_site, empty_env_site, exported, identity):
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    before = empty_env_site.documents()
    records_file = (exported / "records.age").read_bytes()

    again = empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    exported_again = env_site.call("data_export", dest=str(exported), recipients=(public_of(identity),))

    assert not again.changed
    assert not exported_again.changed
    assert empty_env_site.documents() == before
    assert (exported / "records.age").read_bytes() == records_file


def test_the_second_pass_moves_only_what_differs(env_site, empty_env_site, exported, identity):
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    changed, gone = env_site.db.dns_credentials.find().limit(2)
    fresh = envelope(env_site.keks[1], changed["_id"], "encrypted_api_key", b"rotated by its owner")
    env_site.db.dns_credentials.update_one({"_id": changed["_id"]}, {"$set": {"encrypted_api_key": fresh}})
    env_site.db.dns_credentials.delete_one({"_id": gone["_id"]})
    env_site.db.zones.insert_one({"_id": 99, "apex": "new.example"})
    kept = empty_env_site.db.dns_credentials.find_one({"_id": {"$nin": [changed["_id"], gone["_id"]]}})

    env_site.call("data_export", dest=str(exported), recipients=(public_of(identity),))
    predicted = empty_env_site.call("data_import", check=True, src=str(exported), identity_file=str(identity))
    manifest = empty_env_site.call("data_import", src=str(exported), identity_file=str(identity)).values["manifest"]

    counts = {name: manifest[name] for name in ("imported", "updated", "deleted", "unchanged", "equal")}
    assert counts == {"imported": 1, "updated": 1, "deleted": 1, "unchanged": 15, "equal": 17}
    assert {name: predicted.values["manifest"][name] for name in counts if name != "equal"} == {
        name: count for name, count in counts.items() if name != "equal"
    }
    assert empty_env_site.db.dns_credentials.find_one({"_id": kept["_id"]}) == kept


def test_bson_types_survive(env_site, empty_env_site, identity):
    odd = {
        "_id": bson.Int64(7),
        "when": datetime.datetime(1815, 6, 18, 9, 30, 1, 7000),
        "many": [bson.Decimal128(Decimal("1.10")), bson.Regex("^a", "i"), bson.Timestamp(1, 2), None, -0.0, 2**40],
        "raw": bson.Binary(b"x", 5),
        "nested": {"b": 1, "a": {"empty": {}}},
        "uuid": bson.Binary(b"u" * 16, 4),
        "code": bson.Code("f()", {"x": 1}),
        "min": bson.MinKey(),
    }
    env_site.db.odd.insert_one(odd)
    dest = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(dest), recipients=(public_of(identity),))

    empty_env_site.call("data_import", src=str(dest), identity_file=str(identity))

    raw = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)
    left, right = (s.db.get_collection("odd", codec_options=raw).find_one() for s in (env_site, empty_env_site))
    assert left.raw == right.raw


@pytest.mark.skipif(shutil.which("age") is None, reason="the age tool is the oracle here and is not installed")
def test_the_plain_age_tool_opens_a_bundle(exported, identity):
    opened = subprocess.run(
        ["age", "-d", "-i", str(identity), str(exported / "records.age")], capture_output=True, check=True
    ).stdout

    assert sum(1 for _number in bson.decode_file_iter(io.BytesIO(opened))) == 17 + 2


def test_no_secret_stands_in_the_manifest_or_the_records_file(exported):
    content = (exported / "manifest.json").read_bytes() + (exported / "records.age").read_bytes()

    assert b"secret 1" not in content
    assert {path.stat().st_mode & 0o777 for path in exported.iterdir()} == {0o600}
    assert exported.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("keep", [100, -1, -70_000])
def test_a_truncated_bundle_is_refused(env_site, empty_env_site, identity, keep):
    env_site.db.bulk.insert_many([{"_id": n, "text": "x" * 1000} for n in range(120)])
    bundle = env_site.folder / "big"
    env_site.call("data_export", dest=str(bundle), recipients=(public_of(identity),))
    records = bundle / "records.age"
    records.write_bytes(records.read_bytes()[:keep])

    assert refused(empty_env_site, bundle, identity).code == "bundle.damaged"


def test_a_bundle_with_a_flipped_byte_is_refused(empty_env_site, exported, identity):
    records = exported / "records.age"
    content = bytearray(records.read_bytes())
    content[-100] ^= 1
    records.write_bytes(bytes(content))

    assert refused(empty_env_site, exported, identity).code == "bundle.damaged"


def test_a_bundle_for_another_recipient_is_refused(empty_env_site, exported, tmp_path):
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text(f"#\n{pyrage.x25519.Identity.generate()}\n")

    assert refused(empty_env_site, exported, other).code == "bundle.wrong_recipient"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda f: [*f[:5], f[4], *f[5:]], "bundle.out_of_order"),
        (lambda f: [*f[:4], f[5], f[4], *f[6:]], "bundle.out_of_order"),
        (lambda f: [*f[:4], *f[5:]], "bundle.out_of_order"),
        (lambda f: f[:-1], "bundle.damaged"),
        (lambda f: [*f, f[-1]], "bundle.out_of_order"),
        (lambda f: [*f[:4], {**f[4], "d": bson.encode({"_id": 1, "name": "other"})}, *f[5:]], "bundle.record_altered"),
        (lambda f: [{**f[0], "digest_key": b"k" * 32}, *f[1:]], "manifest.mismatch"),
        (lambda f: f[1:], "bundle.out_of_order"),
        (lambda f: f, "manifest.mismatch"),
    ],
    ids=["doubled", "reordered", "removed", "without end", "after the end", "altered", "other key", "no header",
         "encrypted again"],
)  # fmt: skip
def test_records_that_were_tampered_with_by_someone_who_knows_the_recipient_are_refused(
    empty_env_site, exported, identity, fault, code
):
    rewrite(exported, identity, fault(frames_of(exported, identity)))

    assert refused(empty_env_site, exported, identity).code == code


@pytest.mark.parametrize("field", ["records", "layout", "collections", "source", "records_sha256"])
def test_a_manifest_that_does_not_match_is_refused(empty_env_site, exported, identity, field):
    path = exported / "manifest.json"
    manifest = json.loads(path.read_text())
    other = {"records": 3, "layout": "other", "collections": {"other": 1}, "records_sha256": "other"}
    other["source"] = {**manifest["source"], "database": "other"}
    path.write_text(json.dumps({**manifest, field: other[field]}))

    assert refused(empty_env_site, exported, identity).code == "manifest.mismatch"


def test_a_missing_manifest_or_records_file_is_named(empty_env_site, exported, identity, tmp_path):
    shutil.copytree(exported, tmp_path / "copy")
    (tmp_path / "copy" / "records.age").unlink()

    assert refused(empty_env_site, tmp_path / "copy", identity).code == "bundle.missing"
    assert refused(empty_env_site, tmp_path / "nowhere", identity).code == "manifest.missing"


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        ("no identity", 0o600, "bundle.identity_invalid"),
        ("", 0o600, "bundle.identity_invalid"),
        (None, 0o600, "bundle.identity_missing"),
        ("AGE-SECRET-KEY-1", 0o644, "file.permissions"),
    ],
)
def test_a_bad_identity_file_is_refused(empty_env_site, exported, tmp_path, content, mode, code):
    path = tmp_path / "bad"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)

    assert refused(empty_env_site, exported, path).code == code


def test_a_destination_that_holds_records_is_refused(empty_env_site, exported, identity):
    empty_env_site.db.zones.insert_one({"_id": 1})

    assert refused(empty_env_site, exported, identity).code == "destination.not_empty"


def test_the_source_itself_is_no_destination(env_site, exported, identity):
    assert refused(env_site, exported, identity).code == "destination.is_source"


def test_a_record_altered_at_the_destination_is_found_by_name_and_mended_by_another_import(
    empty_env_site, exported, identity
):
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    victim = empty_env_site.db.dns_credentials.find_one()
    empty_env_site.db.dns_credentials.update_one(
        {"_id": victim["_id"]}, {"$set": {"encrypted_api_key.ciphertext": b"\1" * 24}}
    )
    empty_env_site.db.zones.insert_one({"_id": 77})

    refusal = refused(empty_env_site, exported, identity, mode="verify")
    mended = empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))

    assert refusal.code == "import.not_equal"
    assert refusal.facts["manifest"]["different"] == [f"dns_credentials/{victim['_id']}"]
    assert refusal.facts["manifest"]["extra"] == ["zones/77"]
    assert mended.values["manifest"]["equal"] == 17


def test_an_accepted_migration_is_not_imported_again(empty_env_site, exported, identity):
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    accepted = empty_env_site.call("migration_accept")
    again = empty_env_site.call("migration_accept")

    assert accepted.changed
    assert not again.changed
    assert refused(empty_env_site, exported, identity).code == "import.accepted"


def test_a_withdrawn_migration_can_be_imported_again(empty_env_site, exported, identity):
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    unaccepted = empty_env_site.call("migration_accept", state="withdrawn")
    empty_env_site.call("migration_accept")

    withdrawn = empty_env_site.call("migration_accept", state="withdrawn")

    assert (unaccepted.changed, withdrawn.changed) == (False, True)
    assert not empty_env_site.call("data_import", src=str(exported), identity_file=str(identity)).changed


def test_an_import_that_was_not_proven_is_not_accepted(empty_env_site, exported, identity):
    with pytest.raises(OpsError) as none_yet:
        empty_env_site.call("migration_accept")
    empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    empty_env_site.db.kek_imports.update_one({}, {"$set": {"state": "importing"}})
    with pytest.raises(OpsError) as unproven:
        empty_env_site.call("migration_accept")

    assert (none_yet.value.code, unproven.value.code) == ("migration.none", "migration.not_proven")


def test_an_interrupted_import_is_completed_by_the_next_run(empty_env_site, exported, identity, monkeypatch):
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import records

    real, calls = records.insert_many, []

    def dies_after_one(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(records, "insert_many", dies_after_one)
    with pytest.raises(KeyboardInterrupt):
        empty_env_site.call("data_import", src=str(exported), identity_file=str(identity))
    monkeypatch.undo()

    manifest = empty_env_site.call("data_import", src=str(exported), identity_file=str(identity)).values["manifest"]

    assert (manifest["equal"], manifest["unchanged"]) == (17, 12)


def test_the_source_is_byte_identical_after_backup_and_export(env_site, identity):
    raw = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)

    def everything():
        names = sorted(env_site.db.list_collection_names())
        found = {n: [d.raw for d in env_site.db.get_collection(n, codec_options=raw).find()] for n in names}
        return {name: documents for name, documents in found.items() if documents}  # `locks` is made by a mark

    before = everything()

    env_site.call("db_backup", dest=str(env_site.folder / "backup"))
    env_site.call("data_export", dest=str(env_site.folder / "bundle"), recipients=(public_of(identity),))

    assert everything() == before


def test_carried_secrets_are_written_where_they_are_missing_and_never_over_others(env_site, empty_env_site, identity):
    env_site.secrets["CERTAUTOPILOT_API_KEY_PEPPER"] = "pepper-of-the-source"
    env_site.write()
    dest = env_site.folder / "bundle"
    carry = ("CERTAUTOPILOT_API_KEY_PEPPER",)
    env_site.call("data_export", dest=str(dest), recipients=(public_of(identity),), carry=carry)

    first = empty_env_site.call("data_import", src=str(dest), identity_file=str(identity))
    written = Path(empty_env_site.secrets_file).read_text()
    again = empty_env_site.call("data_import", src=str(dest), identity_file=str(identity))
    empty_env_site.secrets_file.write_text(written.replace("of-the-source", "of-another"))
    with pytest.raises(OpsError) as conflict:
        empty_env_site.call("data_import", src=str(dest), identity_file=str(identity))

    assert first.changed
    assert not again.changed
    assert "CERTAUTOPILOT_API_KEY_PEPPER=pepper-of-the-source\n" in written
    assert empty_env_site.secrets_file.stat().st_mode & 0o777 == 0o600
    assert conflict.value.code == "carry.conflict"
