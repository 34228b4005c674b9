# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps that are cut, altered, forged or bombs: refused by a code before anything is written, without hanging."""

from __future__ import annotations

import gzip
import random
import re
import signal

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import pieces

from tests.support import mongodump_forms
from tests.support.mongodump_forms import TERMINATOR, archive, segment

METADATA = '{"options":{},"indexes":[],"collectionName":"zones","type":"collection"}'
ONE = bson.encode({"_id": 1, "text": "x" * 100})
HEADER = {"concurrent_collections": 4, "version": "0.1", "server_version": "8.0.0", "tool_version": "100.13.0"}
CODE = re.compile(r"(restore|backup|file|bundle|database)\.\w+")


@pytest.fixture(autouse=True)
def no_hanging():
    """End a test that waits or reads without end."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def target(new_site):
    site = new_site()
    site.write()
    return site


def refusal(site, path):
    with pytest.raises(OpsError) as refused:
        site.call("db_restore", src=str(path))
    assert site.db.list_collection_names() == []
    return refused.value


def outcome(site, path):
    """Return the code of a restore's failure, "" for none."""
    try:
        site.call("db_restore", src=str(path))
    except OpsError as refused:
        return refused.code
    return ""


def prelude(*told, header=None):
    return mongodump_forms.MAGIC + b"".join(bson.encode(one) for one in (header or HEADER, *told)) + TERMINATOR


def named(name="zones", **more):
    return {"db": "ops", "collection": name, "metadata": METADATA.replace("zones", name), "size": 0, **more}


WHOLE = archive("ops", {"zones": METADATA}, {"zones": [ONE]})
END = segment("ops", "zones", crc=mongodump_forms.crc64(ONE)) + TERMINATOR
FORGED = {
    "another CRC": WHOLE[:-13] + bytes(8) + WHOLE[-5:],
    "no version": prelude(named(), header={"version": "0.2"}) + segment("ops", "zones") + ONE + TERMINATOR + END,
    "no header": mongodump_forms.MAGIC + TERMINATOR,
    "no collections": prelude(),
    "a collection twice": prelude(named(), named()),
    "documents of nobody": prelude(named()) + segment("ops", "others") + ONE + TERMINATOR + END,
    "documents after the end": WHOLE + segment("ops", "zones") + ONE + TERMINATOR,
    "two ends": WHOLE + END,
    "documents behind an end": WHOLE[: -len(TERMINATOR)] + ONE + TERMINATOR,
    "an end that never comes": prelude(named()) + segment("ops", "zones") + ONE + TERMINATOR,
    "a collection that never comes": prelude(named(), named("more")) + segment("ops", "zones") + ONE + TERMINATOR + END,
    "a header that is none": prelude(named()) + bson.encode({"db": 1, "collection": 2}) + ONE + TERMINATOR + END,
    "a size of nothing": prelude(named()) + segment("ops", "zones") + bytes(4) + ONE + TERMINATOR + END,
    "a size beyond all": prelude(named()) + segment("ops", "zones") + b"\xff\xff\xff\x7f" + ONE + TERMINATOR + END,
    "a document without end": prelude(named()) + segment("ops", "zones") + ONE[:-1] + b"\1" + TERMINATOR + END,
    "metadata that is none": prelude(named(metadata="{")) + END,
    "metadata of another kind": prelude(named(metadata="[1]")) + END,
    "metadata too deep": prelude(named(metadata="[" * 100_000)) + END,
    "indexes that are none": prelude(named(metadata='{"indexes":[1]}')) + END,
    "a number as metadata": prelude(named(metadata=1)) + END,
    "more turns than anybody takes": prelude(*(named(f"c{n}") for n in range(300)))
    + b"".join(segment("ops", f"c{n}") + TERMINATOR for n in range(300)),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_archive_is_refused_before_anything_is_written(target, tmp_path, what):
    (tmp_path / "dump").write_bytes(FORGED[what])

    assert refusal(target, tmp_path / "dump").code in ("restore.damaged", "restore.which_database")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_an_archive_that_is_cut_anywhere_is_refused(target, tmp_path, packed):
    whole = gzip.compress(WHOLE, mtime=0) if packed else WHOLE

    codes = set()
    for size in range(1, len(whole)):
        (tmp_path / "dump").write_bytes(whole[:size])
        codes.add(refusal(target, tmp_path / "dump").code)

    assert codes <= {"restore.damaged", "restore.unknown_form"}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_an_altered_document_in_an_archive_never_gets_into_the_database(target, tmp_path, packed):
    chance, at = random.Random(2026), WHOLE.index(ONE)
    for number in range(150):
        content = bytearray(WHOLE)
        content[chance.randrange(at, at + len(ONE))] ^= 1 << chance.randrange(8)
        dump = tmp_path / f"dump{number}"
        dump.write_bytes(gzip.compress(bytes(content)) if packed else bytes(content))

        assert refusal(target, dump).code == "restore.damaged"


@pytest.mark.parametrize("form", ["backup", "folder, packed", "archive, packed"])
def test_any_mutation_of_a_dump_with_digests_is_refused_by_a_code_or_restores_the_same(
    env_site, new_site, tmp_path, form
):
    dump, chance, expected = tmp_path / "dump", random.Random(8), mongodump_forms.everything(env_site.db)
    if form == "backup":
        env_site.call("db_backup", dest=str(dump))
    elif form == "folder, packed":
        mongodump_forms.write_folder(env_site.db, dump, packed=True)
    else:
        mongodump_forms.write_archive(env_site.db, dump, packed=True)
    files = [dump] if dump.is_file() else sorted(path for path in dump.rglob("*") if path.is_file())
    for _number in range(60):
        site, victim = new_site(), chance.choice(files)
        site.write()
        content = victim.read_bytes()
        altered = bytearray(content)
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        victim.write_bytes(bytes(altered))
        code = outcome(site, dump)
        # "" is of what is looked at by nobody, as the time in the header of a gzip file
        assert mongodump_forms.everything(site.db) == (expected if code == "" else {})
        assert code == "" or CODE.fullmatch(code)
        victim.write_bytes(content)


def test_a_folder_whose_file_ends_inside_a_document_is_refused(env_site, target, tmp_path):
    folder = mongodump_forms.write_folder(env_site.db, tmp_path / "dump")
    path = folder / env_site.name / "zones.bson"
    path.write_bytes(path.read_bytes()[:-1])

    failure = refusal(target, folder)

    assert (failure.code, str(path) in failure.message) == ("restore.damaged", True)


@pytest.mark.parametrize("missing", ["zones.bson", "zones.metadata.json"])
def test_documents_without_metadata_are_restored_and_metadata_without_documents_are_not(
    env_site, target, tmp_path, missing
):
    folder = mongodump_forms.write_folder(env_site.db, tmp_path / "dump")
    (folder / env_site.name / missing).unlink()

    if missing == "zones.bson":
        assert "zones" in refusal(target, folder).message
    else:
        target.call("db_restore", src=str(folder))
        assert mongodump_forms.everything(target.db) == mongodump_forms.everything(env_site.db)


def test_a_bomb_is_refused_before_it_has_grown(target, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_GROWN", 4 * 1024 * 1024)
    document = bson.encode({"_id": 1, "text": "x" * 100_000})
    content = prelude(named()) + segment("ops", "zones") + document * 2000
    (tmp_path / "dump").write_bytes(gzip.compress(content))

    assert refusal(target, tmp_path / "dump").code == "restore.grows"


def test_a_bomb_of_zeros_is_refused_by_its_first_bytes(target, tmp_path):
    folder = tmp_path / "dump" / "ops"
    folder.mkdir(parents=True)
    (folder / "zones.bson.gz").write_bytes(gzip.compress(bytes(200_000_000), compresslevel=1))
    (folder / "zones.metadata.json.gz").write_bytes(gzip.compress(METADATA.encode()))
    (tmp_path / "other" / "ops").mkdir(parents=True)
    (tmp_path / "other" / "ops" / "zones.bson.gz").write_bytes(gzip.compress(ONE))
    (tmp_path / "other" / "ops" / "zones.metadata.json.gz").write_bytes(gzip.compress(bytes(50_000_000)))

    assert refusal(target, tmp_path / "dump").code == "restore.damaged"
    assert refusal(target, tmp_path / "other").code == "restore.damaged"
