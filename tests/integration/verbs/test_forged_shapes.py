# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles of impossible shapes, made anew with digests, chain and seal that fit: each is refused by a code in time.

The forger has the code and the public recipient. Nothing vouches for the bundle here (`trust: bundle`), so that its
shape alone must give it away. The random ones are drawn from a seed that the failure names.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import manifest as manifests
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.bundle_trust import AS_IT_IS, Trust
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import opened_records
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.checked_bundle import checked

from tests.support.age_keys import key_of, public_of

ODD = (None, True, -1, 2**40, 1.5, "", "x", "\0", b"", b"x", [], [1], {}, {"$gt": 1}, bson.MinKey(), bson.ObjectId())


@pytest.fixture
def bundle(request, env_site, identity):
    """A bundle that holds everything; by the parameter "changes" one of what changed since, with what is gone."""
    dest, recipients = env_site.folder / "bundle", (public_of(identity),)
    env_site.call("data_export", dest=str(dest), recipients=recipients)
    if getattr(request, "param", "everything") == "everything":
        return dest
    env_site.db.zones.delete_one({"_id": 0})
    env_site.db.zones.update_many({}, {"$set": {"changed": True}})
    env_site.db.dns_credentials.update_many({}, {"$set": {"changed": True}})
    changes = env_site.folder / "changes"
    env_site.call("data_export", dest=str(changes), base=str(dest), recipients=recipients)
    return changes


BOTH_KINDS = pytest.mark.parametrize("bundle", ["everything", "changes"], indirect=True)


@pytest.fixture
def parts(bundle, identity):
    """What a forger knows of a bundle that was his own: (header, record frames with records decoded, manifest)."""
    raw = pyrage.decrypt((bundle / "records.age").read_bytes(), [key_of(identity)])
    head, *body, _end = bson.decode_file_iter(io.BytesIO(raw))
    body = [{**frame, "d": bson.decode(frame["d"])} if "d" in frame else frame for frame in body]
    return head, body, json.loads((bundle / "manifest.json").read_text())


def write(bundle, identity, head, body, manifest):
    """Write a bundle of these parts: numbers, digests, chain and seal are made to fit."""
    key = head["digest_key"] if isinstance(head.get("digest_key"), bytes) else b"k" * 32
    chain = manifests.Chain(key)
    for number, frame in enumerate(body, 1):
        frame["n"] = number
        if isinstance(frame.get("d"), dict):
            frame["d"] = bson.encode(frame["d"])
        opened = opened_records.from_frame(frame)
        if opened is not None and isinstance(frame.get("c"), str) and "forged_m" not in frame:
            frame["m"] = opened_records.digest(key, frame["c"], opened)
        frame.pop("forged_m", None)
        chain.add(frame["m"] if isinstance(frame.get("m"), bytes) else b"")
    records = sum("gone" not in frame for frame in body)
    end = {"n": len(body) + 1, "end": True, "records": records, "chain": chain.hex()}
    content = pyrage.encrypt(b"".join(map(bson.encode, [head, *body, end])), [key_of(identity).to_public()])
    (bundle / "records.age").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    told = {**manifest, "records": records, "records_digest": chain.hex(), "records_sha256": sha256}
    (bundle / "manifest.json").write_text(manifests.text(manifests.sealed_manifest(told, key)))


def in_header(name, value):
    def change(head, _body, manifest):
        head[name] = value
        if name in manifest:
            manifest[name] = value

    return change


def in_manifest(name, value):
    return lambda _head, _body, manifest: manifest.__setitem__(name, value)


def in_sealed(change_one):
    def change(_head, body, _manifest):
        change_one(next(frame for frame in body if frame.get("o")))

    return change


def in_plain(change_one):
    def change(_head, body, _manifest):
        change_one(next(frame for frame in reversed(body) if not frame.get("o")))

    return change


def digest_of(value):
    return in_plain(lambda frame: frame.update(m=value, forged_m=True))


def field(change_one):
    return in_sealed(lambda frame: change_one(frame["o"][0]))


def in_metadata(**changes):
    return lambda head, _body, _manifest: head["metadata"][0].update(changes)


SOURCE = {"install_id": "i", "provider": "env", "installed_at": "2026-01-01T00:00:00Z", "database": "d"}
SHAPES = {
    "digest is a number": digest_of(200_000_000),
    "digest is negative": digest_of(-1),
    "digest is a text": digest_of("x"),
    "digest is a list": digest_of([1, 2]),
    "an envelope's own key among the foreign ones": field(lambda one: one["x"].update(nonce=b"x" * 12)),
    "a key that is no text": field(lambda one: one["k"].append([1])),
    "a payload that is a number": field(lambda one: one.update(v=2**30)),
    "a place that is a number": field(lambda one: one.update(p=5)),
    "a place twice": in_sealed(lambda frame: frame["o"].append(copy.deepcopy(frame["o"][0]))),
    "carried is a number": in_header("carried", 5),
    "carried is a list": in_header("carried", ["CERTAUTOPILOT_JWT_SECRET"]),
    "a carried value is a number": lambda head, _body, manifest: (
        head.update(carried={"CERTAUTOPILOT_JWT_SECRET": 5}),
        manifest.update(carried=["CERTAUTOPILOT_JWT_SECRET"]),
    ),
    "carried lists less than is inside": lambda head, _body, _manifest: head.update(
        carried={"CERTAUTOPILOT_JWT_SECRET": "x"}
    ),
    "a carried value with a NUL": lambda head, _body, manifest: (
        head.update(carried={"CERTAUTOPILOT_JWT_SECRET": "a\0b"}),
        manifest.update(carried=["CERTAUTOPILOT_JWT_SECRET"]),
    ),
    "no source": in_header("source", {}),
    "an install id that is a number": in_header("source", {**SOURCE, "install_id": 5}),
    "no metadata": lambda head, _body, _manifest: head.pop("metadata"),
    "metadata of bookkeeping": in_metadata(name="kek_versions"),
    "metadata of a collection of the server": in_metadata(name="system.users"),
    "an option that is not carried": in_metadata(options={"capped": True, "size": 1}),
    "a validator that is a number": in_metadata(options={"validator": 5}),
    "an index without a key": in_metadata(indexes=[{"name": "x"}]),
    "an index over _id": in_metadata(indexes=[{"name": "x", "key": {"_id": 1}, "unique": True}]),
    "an index with an unknown option": in_metadata(indexes=[{"name": "x", "key": {"a": 1}, "storageEngine": {}}]),
    "metadata that the manifest does not know": in_metadata(indexes=[{"name": "x", "key": {"a": 1}}]),
    "a manifest that names other indexes than are inside": in_manifest("metadata", {}),
    "an unknown layout": in_header("layout", "nonsense"),
    "a catalogue of numbers": in_manifest("catalogue", {"x": 5}),
    "a catalogue of lists of numbers": in_manifest("catalogue", {"x": [5]}),
    "sealed is texts": in_manifest("sealed", {"a": "b"}),
    "sealed says less": in_manifest("sealed", {}),
    "collections say more": in_manifest("collections", {"zones": 999}),
    "made in the year 9999": in_manifest("created_at", "9999-12-31T00:00:00Z"),
    "made at no time": in_manifest("created_at", "~"),
    "a collection with a dollar": in_plain(lambda frame: frame.update(c="$bad")),
    "a collection without a name": in_plain(lambda frame: frame.update(c="")),
    "a collection with empty steps": in_plain(lambda frame: frame.update(c="a..b")),
    "a collection with a NUL": in_plain(lambda frame: frame.update(c="a\0b")),
    "a collection that is a number": in_plain(lambda frame: frame.update(c=5)),
    "a record twice": lambda _head, body, _manifest: body.append(copy.deepcopy(body[-1])),
    "a collection in two parts": lambda _head, body, _manifest: body.append(copy.deepcopy(body[0])),
    "an id that is a list": in_plain(lambda frame: frame["d"].update(_id=[1])),
    "an id that is a query": in_plain(lambda frame: frame["d"].update(_id={"$gt": 1})),
    "a record that is gone, in a bundle that holds everything": lambda _head, body, _manifest: body.append(
        {"c": "zones", "gone": bson.encode({"_id": 77}), "m": b""}
    ),
    "a record that is gone and has no id": lambda head, body, manifest: (
        head.update(base="x"),
        manifest.update(base="x"),
        body.append({"c": "zones", "gone": b"x", "m": b""}),
    ),
    "a record that is gone by a query": lambda head, body, manifest: (
        head.update(base="x"),
        manifest.update(base="x"),
        body.append({"c": "zones", "gone": bson.encode({"_id": {"$gt": 0}}), "m": b""}),
    ),
    "a base that the records do not know": in_manifest("base", "x"),
    "removed says more than is inside": in_manifest("removed", {"zones": 1}),
    "bytes that are no document": in_plain(lambda frame: frame.update(d=b"x" * 20)),
    "a document with a foot": in_plain(lambda frame: frame.update(d=bson.encode(frame["d"]) + b"x")),
    "no id": in_plain(lambda frame: frame["d"].pop("_id")),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_x20_a_forged_bundle_of_an_impossible_shape_is_refused_and_nothing_is_touched(
    empty_env_site, bundle, identity, parts, shape
):
    head, body, manifest = parts
    SHAPES[shape](head, body, manifest)
    write(bundle, identity, head, body, manifest)
    before = empty_env_site.documents(), empty_env_site.secrets_file.read_bytes()

    with pytest.raises(OpsError) as refusal:
        empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity), trust="bundle")

    assert refusal.value.code.partition(".")[0] in {"bundle", "manifest", "layout", "carry", "file"}
    assert (empty_env_site.documents(), empty_env_site.secrets_file.read_bytes()) == before


def mutated(draw, parts):
    """Return a copy of the parts with one value somewhere replaced, removed or doubled."""
    head, body, manifest = copy.deepcopy(parts)
    holders, waiting = [], [head, manifest, *body]
    while waiting:
        one = waiting.pop()
        holders.append(one)
        waiting += [
            value for value in (one.values() if isinstance(one, dict) else one) if isinstance(value, (dict, list))
        ]
    holder = draw.choice([one for one in holders if one])
    place = draw.choice(list(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
    how = draw.randrange(4)
    if how == 0:
        del holder[place]
    elif how == 1 and isinstance(holder, list):
        holder.append(holder[place])
    elif how == 2 and isinstance(holder, dict):
        holder["more"] = holder[place]
    else:
        holder[place] = draw.choice(ODD)
    return head, body, manifest


def outcome_of(bundle, identity):
    try:
        with checked(bundle, identity, Trust(AS_IT_IS)) as judged:
            judged.each_batch(lambda _collection, _batch: None)
    except OpsError as refusal:
        return refusal.code
    return "sound"


def mutate_often(bundle, identity, parts, count, seed):
    """Return how often each outcome came; any other exception is a failure that names the seed and the number."""
    draw, seen = random.Random(seed), {}
    good = (bundle / "records.age").read_bytes(), (bundle / "manifest.json").read_bytes()
    for number in range(count):
        if number % 2:
            for name, content in zip(("records.age", "manifest.json"), good, strict=True):
                flipped = bytearray(content)
                flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
                (bundle / name).write_bytes(flipped if draw.random() < 0.7 else content)
        else:
            try:
                write(bundle, identity, *mutated(draw, parts))
            except (TypeError, ValueError, AttributeError, OverflowError, bson.errors.BSONError):
                continue  # the forger could not even write this one down
        try:
            code = outcome_of(bundle, identity)
        except Exception as failure:
            raise AssertionError(f"seed {seed}, number {number}: {type(failure).__name__}: {failure}") from failure
        seen[code] = seen.get(code, 0) + 1
    return seen


@BOTH_KINDS
def test_x20_any_mutation_of_a_bundle_is_refused_by_a_code_or_changes_nothing_that_is_checked(bundle, identity, parts):
    seed = random.SystemRandom().randrange(2**32)

    seen = mutate_often(bundle, identity, parts, 400, seed)

    assert sum(seen.values()) > 300
    assert {"bundle.damaged", "manifest.mismatch", "bundle.record_altered", "manifest.malformed"} <= set(seen), seen


@pytest.mark.slow
@BOTH_KINDS
def test_x20_ten_thousand_mutations_of_a_bundle_are_refused_by_a_code(bundle, identity, parts):
    seen = mutate_often(bundle, identity, parts, 10_000, 20)

    assert sum(seen.values()) > 8_000
