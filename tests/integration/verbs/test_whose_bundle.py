# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bundle is believed, and which import may write: forged, replaced, older and overtaken ones are refused.

The forger here knows the code and the public recipient, and has no key of the source. Oracles: pyrage and bson, used
directly; tests/support/sealed.py opens what arrived.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import bson
import pymongo.monitoring
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import gcm_budget
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import manifest as manifests
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.bundle_trust import Trust
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import equality, opened_records
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.checked_bundle import checked
from ansible_collections.certautopilot.ops.plugins.module_utils._store import keystore, records
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store

from tests.support.age_keys import key_of, public_of
from tests.support.sealed import envelope, plaintext_of

PEPPER = "CERTAUTOPILOT_API_KEY_PEPPER"
SECRET = "CERTAUTOPILOT_JWT_SECRET"


@pytest.fixture
def export(env_site, identity):
    """Export into a folder; return (folder, the module's values)."""
    public = public_of(identity)

    def make(name="bundle", **options):
        dest = env_site.folder / name
        return dest, env_site.call("data_export", dest=str(dest), recipients=(public,), **options).values

    return make


@pytest.fixture
def store_of():
    return lambda site: open_store(Secret(site.uri), site.name)


@contextmanager
def queries_of_updates():
    """Yield the queries of all updates that clients made meanwhile send."""
    queries = []

    class Listener(pymongo.monitoring.CommandListener):
        def started(self, event):
            queries.extend(one["q"] for one in event.command.get("updates", ()))

        def succeeded(self, event):
            pass

        def failed(self, event):
            pass

    listeners = pymongo.monitoring._LISTENERS
    before = list(listeners.command_listeners)
    pymongo.monitoring.register(Listener())
    try:
        yield queries
    finally:
        listeners.command_listeners[:] = before


def state_of(site):
    return site.documents(), site.secrets_file.read_bytes()


def forged(bundle, identity, *, header=None, record=None, manifest=None):
    """Make the bundle anew, digests, chain and seal, as somebody who has the code and no key of the source."""
    raw = pyrage.decrypt((bundle / "records.age").read_bytes(), [key_of(identity)])
    frames = list(bson.decode_file_iter(io.BytesIO(raw)))
    head, *body, _end = frames
    head |= header or {}
    chain = manifests.Chain(head["digest_key"])
    for frame in body:
        if record is not None:
            record(frame)
        frame["m"] = opened_records.digest(head["digest_key"], frame["c"], opened_records.from_frame(frame))
        chain.add(frame["m"])
    end = {"n": len(body) + 1, "end": True, "records": len(body), "chain": chain.hex()}
    content = pyrage.encrypt(b"".join(map(bson.encode, [head, *body, end])), [key_of(identity).to_public()])
    (bundle / "records.age").write_bytes(content)
    told = json.loads((bundle / "manifest.json").read_text())
    told |= {"records_sha256": hashlib.sha256(content).hexdigest(), "records_digest": chain.hex(), **(manifest or {})}
    sealed = manifests.sealed_manifest(told, head["digest_key"])
    (bundle / "manifest.json").write_text(manifests.text(sealed))


def refused(site, bundle, identity, **options):
    before = state_of(site)
    with pytest.raises(OpsError) as refusal:
        site.call("data_import", src=str(bundle), identity_file=str(identity), **options)
    assert state_of(site) == before
    return refusal.value


def everything_renamed(frame):
    if frame["c"] == "zones":
        frame["d"] = bson.encode({**bson.decode(frame["d"]), "apex": "attacker.example"})


def test_x20_a_bundle_is_refused_unless_somebody_says_why_it_is_believed(empty_env_site, export, identity):
    bundle, told = export()

    without = refused(empty_env_site, bundle, identity, trust="digest")
    wrong = refused(empty_env_site, bundle, identity, manifest_sha256="0" * 64)
    done = empty_env_site.call(
        "data_import", src=str(bundle), identity_file=str(identity), manifest_sha256=told["manifest_sha256"]
    )

    assert (without.code, wrong.code) == ("bundle.untrusted", "manifest.mismatch")
    assert done.values["manifest"]["equal"] == 17


@pytest.fixture
def sender(tmp_path):
    """A sender's keys, made by the openssl tool: (file of the private one, text of the public one)."""
    private = tmp_path / "sender.pem"
    private.touch(mode=0o600)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
    public = subprocess.run(
        ["openssl", "pkey", "-in", str(private), "-pubout"], check=True, capture_output=True, text=True
    )
    return private, public.stdout


def test_x20_a_bundle_is_believed_by_the_signature_of_its_sender_which_openssl_checks_as_well(
    empty_env_site, export, identity, sender, tmp_path
):
    private, public = sender
    (tmp_path / "public.pem").write_text(public)
    bundle, told = export(signing_key_file=str(private))
    _bundle, again = export(signing_key_file=str(private))

    done = empty_env_site.call(
        "data_import", src=str(bundle), identity_file=str(identity), trust="digest", sender_public_key=public
    )
    checked_by_openssl = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(tmp_path / "public.pem"), "-rawin",
         "-in", str(bundle / "manifest.json"), "-sigfile", str(bundle / "manifest.json.sig")], check=False,
    )  # fmt: skip

    assert done.values["manifest"]["equal"] == 17
    assert checked_by_openssl.returncode == 0
    assert again["manifest_sha256"] == told["manifest_sha256"]


@pytest.mark.parametrize("fault", ["forged", "no signature", "another sender's", "cut", "a link"])
def test_x20_a_bundle_without_the_senders_signature_is_refused(
    empty_env_site, export, identity, sender, tmp_path, fault
):
    private, public = sender
    bundle, _told = export(signing_key_file=str(private))
    signature = bundle / "manifest.json.sig"
    if fault == "forged":
        forged(bundle, identity, record=everything_renamed)
    elif fault == "no signature":
        signature.unlink()
    elif fault == "another sender's":
        other = tmp_path / "other.pem"
        other.touch(mode=0o600)
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(other)], check=True)
        bundle, _told = export(signing_key_file=str(other))
    elif fault == "cut":
        signature.write_bytes(signature.read_bytes()[:-1])
    else:
        signature.rename(tmp_path / "elsewhere")
        signature.symlink_to(tmp_path / "elsewhere")

    found = refused(empty_env_site, bundle, identity, trust="bundle", sender_public_key=public)

    assert found.code == ("file.kind" if fault == "a link" else "bundle.not_from_sender")


def test_x20_keys_that_are_none_are_refused_by_name(env_site, empty_env_site, export, identity, sender, tmp_path):
    bundle, _told = export(signing_key_file=str(sender[0]))
    rsa = tmp_path / "rsa.pem"
    rsa.touch(mode=0o600)
    subprocess.run(["openssl", "genrsa", "-out", str(rsa), "2048"], check=True, capture_output=True)

    with pytest.raises(OpsError) as refusal:
        export("other", signing_key_file=str(rsa))

    assert refusal.value.code == "bundle.signing_key_invalid"
    assert not (env_site.folder / "other").exists()
    for key in ("no key", sender[0].read_text()):
        found = refused(empty_env_site, bundle, identity, sender_public_key=key)
        assert found.code == "bundle.sender_key_invalid"
        assert key not in found.message


def test_x20_an_unchanged_export_tells_the_digest_again(export):
    bundle, first = export()
    _bundle, again = export()

    assert first["manifest_sha256"] == again["manifest_sha256"]
    assert first["manifest_sha256"] == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_x20_in_check_mode_an_export_tells_the_digest_of_the_bundle_that_is_there(env_site, export):
    nothing_yet = export("other", check=True)[1]
    _bundle, first = export()
    env_site.db.zones.insert_one({"_id": 51})
    predicted = export(check=True)[1]

    assert (nothing_yet["manifest_sha256"], predicted["manifest_sha256"]) == ("", first["manifest_sha256"])
    assert predicted["manifest"]["records"] == first["manifest"]["records"] + 1


def test_x20_a_wholly_forged_bundle_is_refused_by_the_digest_of_the_true_one(empty_env_site, export, identity):
    bundle, told = export()
    forged(bundle, identity, record=everything_renamed)
    by_digest = refused(empty_env_site, bundle, identity, manifest_sha256=told["manifest_sha256"])

    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity), trust="bundle")

    assert by_digest.code == "manifest.mismatch"
    assert empty_env_site.db.zones.find_one()["apex"] == "attacker.example"  # the forgery is sound: only trust tells


@pytest.mark.parametrize("collection", ["kek_install", "kek_versions", "kek_imports", "locks", "system.js"])
def test_x20_bookkeeping_and_system_collections_do_not_come_with_a_bundle(empty_env_site, export, identity, collection):
    bundle, _told = export()

    def moved(frame):
        frame["c"] = collection if frame["c"] == "zones" else frame["c"]

    forged(bundle, identity, record=moved)

    assert refused(empty_env_site, bundle, identity, trust="bundle").code == "bundle.foreign_collection"


def test_x20_a_bundle_that_nobody_vouches_for_cannot_choose_a_layout_that_binds_less(empty_env_site, export, identity):
    bundle, _told = export()
    weaker = {"layout": "binary/iv-first/aad-none"}
    forged(bundle, identity, header=weaker, manifest=weaker)

    assert refused(empty_env_site, bundle, identity, trust="bundle").code == "bundle.layout_weaker"


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PATH", "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V9", "X\nY", "lower_case", ""]
)
def test_x21_a_value_that_nobody_listed_does_not_come_with_a_bundle(empty_env_site, export, identity, name):
    bundle, _told = export()
    forged(bundle, identity, header={"carried": {name: "value"}}, manifest={"carried": [name]})

    assert refused(empty_env_site, bundle, identity, trust="bundle").code == "carry.not_listed"


def test_x21_a_name_that_is_none_is_refused_though_it_is_listed(empty_env_site, export, identity):
    bundle, _told = export()
    forged(bundle, identity, header={"carried": {"X\nY": "value"}}, manifest={"carried": ["X\nY"]})

    assert refused(empty_env_site, bundle, identity, trust="bundle", carry=("X\nY",)).code == "carry.not_listed"


def test_x8_what_is_imported_is_the_file_that_was_judged_though_another_took_its_name(export, identity):
    bundle, told = export()
    good = (bundle / "records.age").read_bytes()
    seen = []
    with checked(bundle, identity, Trust(sha256=told["manifest_sha256"])) as judged:
        (bundle / "other").write_bytes(good[:200])
        (bundle / "other").replace(bundle / "records.age")
        judged.each_batch(lambda _collection, batch: seen.extend(batch))

    assert len(seen) == 17


def test_x8_a_file_that_is_overwritten_after_it_was_judged_hands_on_nothing_that_is_not_of_the_bundle(
    env_site, export, identity
):
    bundle, told = export()
    env_site.db.zones.update_many({}, {"$set": {"apex": "changed since"}})
    other, _other_told = export("other")
    seen = []

    with checked(bundle, identity, Trust(sha256=told["manifest_sha256"])) as judged:
        (bundle / "records.age").write_bytes((other / "records.age").read_bytes())
        with pytest.raises(OpsError) as refusal:
            judged.each_batch(lambda _collection, batch: seen.extend(batch))

    assert (refusal.value.code, seen) == ("manifest.mismatch", [])


def test_x25_a_fifo_or_a_link_in_the_place_of_the_records_is_refused_and_nobody_waits(
    empty_env_site, export, identity, tmp_path
):
    bundle, _told = export()
    (bundle / "records.age").rename(tmp_path / "elsewhere")
    os.mkfifo(bundle / "records.age")
    fifo = refused(empty_env_site, bundle, identity)
    (bundle / "records.age").unlink()
    (bundle / "records.age").symlink_to(tmp_path / "elsewhere")
    link = refused(empty_env_site, bundle, identity)

    assert (fifo.code, link.code) == ("file.kind", "file.kind")


@pytest.mark.parametrize(
    "marked",
    [
        {"certautopilot_opened": b"x", "keys": [6], "extra": {}},
        {"certautopilot_opened": True},
        {"o": [{"p": ["apex"], "k": [], "x": {}, "v": b""}], "m": b"", "c": "zones"},
    ],
)
def test_x9_a_record_that_looks_like_an_opened_one_arrives_as_it_is(env_site, empty_env_site, export, identity, marked):
    env_site.db.odd.insert_one({"_id": 1, "data": marked})
    bundle, _told = export()

    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    assert empty_env_site.db.odd.find_one() == {"_id": 1, "data": marked}


@pytest.mark.parametrize(
    "listed",
    [
        [{"p": ["apex"], "k": ["wrapped_dek"], "x": {}, "v": b"x"}],
        [{"p": ["none"], "k": ["wrapped_dek", "nonce", "ciphertext", "kek_version", "provider"], "x": {}, "v": 2**30}],
        [{"p": [], "k": [], "x": {}, "v": b""}],
        "text",
    ],
)
def test_x9_a_frame_whose_list_of_opened_fields_is_none_is_refused(empty_env_site, export, identity, listed):
    bundle, _told = export()
    raw = pyrage.decrypt((bundle / "records.age").read_bytes(), [key_of(identity)])
    frames = list(bson.decode_file_iter(io.BytesIO(raw)))
    frames[-2]["o"] = listed
    (bundle / "records.age").write_bytes(
        pyrage.encrypt(b"".join(map(bson.encode, frames)), [key_of(identity).to_public()])
    )

    assert refused(empty_env_site, bundle, identity).code == "bundle.record_altered"


def test_x6_a_version_field_of_a_record_without_envelopes_is_carried_like_any_other(
    env_site, empty_env_site, export, identity
):
    env_site.db.settings.insert_one({"_id": "policy", "kek_version": 7})
    bundle, _told = export()
    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    env_site.db.settings.update_one({"_id": "policy"}, {"$set": {"kek_version": 8}})
    export()

    done = empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    assert done.values["manifest"]["updated"] == 1
    assert empty_env_site.db.settings.find_one({"_id": "policy"})["kek_version"] == 8


def test_x7_a_secret_that_travels_and_changed_is_a_change(env_site, export, identity):
    env_site.secrets[SECRET] = "value-one"
    env_site.write()
    names = (PEPPER, SECRET)
    _bundle, first = export(carry=names)
    unchanged = export(carry=names)[1]
    env_site.secrets[PEPPER] = "came later"
    env_site.write()
    added = export(carry=names)[1]
    env_site.secrets[SECRET] = "second"
    env_site.write()
    changed = export(carry=names)[1]

    assert first["manifest"]["carried"] == [SECRET]
    assert unchanged["manifest_sha256"] == first["manifest_sha256"]
    assert added["manifest"]["carried"] == sorted(names)
    assert len({first["manifest_sha256"], added["manifest_sha256"], changed["manifest_sha256"]}) == 3
    assert "value-one" not in json.dumps(first)


def test_x3_an_older_bundle_is_refused_once_a_newer_one_is_there_unless_it_is_asked_for(
    env_site, empty_env_site, export, identity
):
    older, _told = export("older")
    made_at = json.loads((older / "manifest.json").read_text())["created_at"]
    env_site.db.zones.insert_one({"_id": 50, "apex": "newer.example"})
    while json.loads((export("newer")[0] / "manifest.json").read_text())["created_at"] <= made_at:
        env_site.db.zones.update_one({"_id": 50}, {"$inc": {"tried": 1}})
    newer = env_site.folder / "newer"
    empty_env_site.call("data_import", src=str(newer), identity_file=str(identity))

    refusal = refused(empty_env_site, older, identity)
    asked = empty_env_site.call("data_import", src=str(older), identity_file=str(identity), allow_older=True)

    assert refusal.code == "import.older"
    assert asked.values["manifest"]["deleted"] == 1


def overtaking(site, export, identity, *, accept):
    """Return what another host does meanwhile: it takes the lease of one that is paused, and imports a newer bundle."""
    newer, _told = export("newer")

    def take_over():
        site.db.locks.update_one({"_id": "kek-import"}, [{"$set": {"expires_at": {"$subtract": ["$$NOW", 60_000]}}}])
        site.call("data_import", src=str(newer), identity_file=str(identity))
        if accept:
            site.call("migration_accept")

    return take_over


def test_x4_an_import_that_was_overtaken_while_it_proved_proves_nothing(
    env_site, empty_env_site, export, identity, monkeypatch
):
    bundle, _told = export()
    env_site.db.zones.insert_one({"_id": 50, "apex": "newer.example"})
    take_over, prove, begun = overtaking(empty_env_site, export, identity, accept=False), equality.prove, []

    def paused(*arguments):
        proof = prove(*arguments)
        if not begun:
            begun.append(True)
            take_over()
        return proof

    monkeypatch.setattr(equality, "prove", paused)
    with pytest.raises(OpsError) as failure:
        empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    told = empty_env_site.db.kek_imports.find_one()
    newer = json.loads((env_site.folder / "newer" / "manifest.json").read_text())["bundle_id"]

    assert failure.value.code in {"import.overtaken", "lease.lost"}
    assert (told["state"], told["bundle_id"]) == ("proven", newer)


def test_x5_an_import_that_was_slow_to_seal_writes_nothing_into_a_destination_that_serves(
    env_site, empty_env_site, export, identity, monkeypatch
):
    bundle, _told = export()
    victim = env_site.db.dns_credentials.find_one()["_id"]
    fresh = envelope(env_site.keks[1], victim, "encrypted_api_key", b"changed before the second pass")
    env_site.db.dns_credentials.update_one({"_id": victim}, {"$set": {"encrypted_api_key": fresh}})
    take_over, seal, begun = overtaking(empty_env_site, export, identity, accept=True), opened_records.seal_records, []

    def slow(*arguments):
        sealed = seal(*arguments)
        if not begun:
            begun.append(True)
            take_over()
        return sealed

    monkeypatch.setattr(opened_records, "seal_records", slow)
    with pytest.raises(OpsError) as failure:
        empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    arrived = empty_env_site.db.dns_credentials.find_one({"_id": victim})["encrypted_api_key"]

    assert failure.value.code in {"import.accepted", "lease.lost"}
    assert empty_env_site.db.kek_imports.find_one()["state"] == "accepted"
    opened = plaintext_of(empty_env_site.keks[1], victim, "encrypted_api_key", arrived)
    assert opened == b"changed before the second pass"


def test_x5_a_record_that_changed_since_it_was_read_is_left_alone_and_the_import_says_so(
    env_site, empty_env_site, export, identity, monkeypatch
):
    bundle, _told = export()
    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    env_site.db.zones.update_one({"_id": 0}, {"$set": {"apex": "second.example"}})
    export()
    seal = opened_records.seal_records

    def meanwhile(*arguments):
        empty_env_site.db.zones.update_one({"_id": 0}, {"$set": {"written": "by somebody else"}})
        return seal(*arguments)

    monkeypatch.setattr(opened_records, "seal_records", meanwhile)
    with pytest.raises(OpsError) as failure:
        empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    assert failure.value.code == "import.not_equal"
    assert empty_env_site.db.zones.find_one({"_id": 0})["written"] == "by somebody else"


def test_x3_what_is_accepted_is_the_bundle_that_was_seen_as_proven(empty_env_site, export, identity):
    bundle, told = export()
    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    accepted = empty_env_site.call("migration_accept").values["migration"]
    (entry,) = empty_env_site.db.kek_journal.find({"verb": "migration_accept"})

    assert accepted["bundle"] == told["manifest"]["bundle_id"]
    assert told["manifest"]["bundle_id"] in json.dumps(entry, default=str)


def test_x3_a_newer_bundle_of_the_same_content_is_what_was_imported_last(env_site, empty_env_site, export, identity):
    older, _told = export("older")
    made_at = json.loads((older / "manifest.json").read_text())["created_at"]
    newer, told = export("newer")
    while json.loads((newer / "manifest.json").read_text())["created_at"] <= made_at:
        shutil.rmtree(newer)
        newer, told = export("newer")
    empty_env_site.call("data_import", src=str(older), identity_file=str(identity))

    second = empty_env_site.call("data_import", src=str(newer), identity_file=str(identity))
    third = empty_env_site.call("data_import", src=str(newer), identity_file=str(identity))
    accepted = empty_env_site.call("migration_accept").values["migration"]

    assert (second.changed, third.changed) == (True, False)
    assert accepted["bundle"] == told["manifest"]["bundle_id"]


def test_x5_a_replacement_is_looked_for_by_its_id_alone_and_made_only_where_the_record_is_what_was_read(
    env_site, store_of
):
    env_site.db.bulk.insert_many([{"_id": n, "text": "x" * 200} for n in range(500)])
    read = list(env_site.db.bulk.find({"_id": {"$lt": 50}}))
    env_site.db.bulk.update_one({"_id": 7}, {"$set": {"text": "written meanwhile"}})

    with queries_of_updates() as queries, store_of(env_site) as store:
        replaced = records.replace_as_read(
            store, "bulk", [(bson.encode(one), {"_id": one["_id"], "new": True}) for one in read]
        )

    assert replaced == 49
    assert env_site.db.bulk.find_one({"_id": 7})["text"] == "written meanwhile"
    assert [set(query) for query in queries] == [{"_id"}] * 50  # a server looks one up without reading the others


@pytest.mark.parametrize("size", [100, 9 * 1024 * 1024])
def test_x5_a_record_of_any_size_is_replaced_only_while_it_is_what_was_read(env_site, store_of, size):
    env_site.db.bulk.insert_many([{"_id": n, "text": "x" * size, "note": "as read"} for n in range(2)])
    read = list(env_site.db.bulk.find(sort=[("_id", 1)]))
    env_site.db.bulk.update_one({"_id": 1}, {"$set": {"note": "written meanwhile"}})

    with store_of(env_site) as store:
        replaced = records.replace_as_read(store, "bulk", [(bson.encode(one), {**one, "note": "new"}) for one in read])

    assert replaced == 1
    assert [d["note"] for d in env_site.db.bulk.find(sort=[("_id", 1)])] == ["new", "written meanwhile"]


def test_x15_no_wrap_is_made_beyond_the_limit_whoever_makes_it(empty_env_site, store_of):
    limit = gcm_budget.REFUSE_AT
    empty_env_site.db.kek_versions.update_one({"_id": 1}, {"$set": {"invocations": limit - 10}})
    with store_of(empty_env_site) as store:
        keystore.spend(store, 1, 10)
        with pytest.raises(OpsError) as refusal:
            keystore.spend(store, 1, 1)

    assert refusal.value.code == "budget.exhausted"
    assert empty_env_site.db.kek_versions.find_one({"_id": 1})["invocations"] == limit


def test_x15_an_import_that_changes_nothing_needs_no_budget(empty_env_site, export, identity):
    bundle, _told = export()
    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    empty_env_site.db.kek_versions.update_one({"_id": 1}, {"$set": {"invocations": 2**32 + 5}})

    assert not empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity)).changed


def test_x15_an_import_that_could_exhaust_the_key_is_refused_before_the_first_wrap(empty_env_site, export, identity):
    bundle, _told = export()
    empty_env_site.db.kek_versions.update_one({"_id": 1}, {"$set": {"invocations": 2**32 + 5}})

    assert refused(empty_env_site, bundle, identity).code == "budget.exhausted"


def test_x15_a_rotation_in_the_middle_of_an_import_is_noticed(empty_env_site, export, identity, monkeypatch):
    bundle, _told = export()
    empty_env_site.add_kek(2)
    empty_env_site.write()
    prove = equality.prove

    def rotated(*arguments):
        proof = prove(*arguments)
        empty_env_site.call("kek_rotate", to_version=2)
        return proof

    monkeypatch.setattr(equality, "prove", rotated)
    with pytest.raises(OpsError) as failure:
        empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    assert failure.value.code == "import.version_moved"
    assert keystore.COLLECTION in empty_env_site.db.list_collection_names()
    assert empty_env_site.db.kek_imports.find_one()["state"] == "importing"
