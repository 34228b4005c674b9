# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forgotten certificate, by real runs of ansible-playbook: deleted at the destination of a migration, brought back.

The oracle is the stand-in's own opening of envelopes and openssl; the old side is compared byte for byte.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import bson
import pymongo
import pytest
import yaml

from tests.integration.modules.test_no_secret_shows import leaks
from tests.integration.test_playbooks import destination, secrets_of, source
from tests.support import mongo_tools, mongodump_forms, pki
from tests.support.demo import ansible_environment
from tests.support.demo import oracle as compare
from tests.support.lab import running
from tests.support.oracle import digest
from tests.support.processes import repository_environment

RECORDS = 60
KEY_OF = """
import sys
from pathlib import Path
from tests.support.oracle import Side
side = Side(*map(Path, sys.argv[1:3]))
record = side.db.certificate_private_keys.find_one({"certificate_id": __import__("bson").ObjectId(sys.argv[3])})
sys.stdout.buffer.write(side.open(record["_id"], "encrypted_key", record["encrypted_key"]))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two sides after a migration from env to a token: the source stopped, the destination serving."""
    with running(tmp_path_factory.mktemp("forgotten") / "lab", records=RECORDS) as made:
        status, output = play(made, "migrate")
        assert status == 0, output[-4000:]
        yield made


def play(lab, book, *arguments, **options):
    extra = lab.folder / "extra.json"
    extra.write_text(json.dumps(options))
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, f"certautopilot.ops.{book}"]
    done = subprocess.run(
        [*command, "-e", f"@{extra}", *arguments], env=ansible_environment(lab), capture_output=True, text=True,
        check=False, timeout=900,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def recover(lab, *arguments, **options):
    given = {f"recover_certificate_{name}": value for name, value in options.items()}
    return play(lab, "recover_certificate", *arguments, **given)


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def forget(lab):
    """Delete one certificate that has a key, and its key, at the destination; return its record at the source."""
    key = source(lab).certificate_private_keys.find_one()
    record = source(lab).certificates.find_one({"_id": key["certificate_id"]})
    destination(lab).certificates.delete_one({"_id": record["_id"]})
    destination(lab).certificate_private_keys.delete_one({"certificate_id": record["_id"]})
    return record


def key_at(lab, side, record):
    """Return the private key of a certificate as the stand-in's side opens it, in a process of its own for its HSM."""
    command = [sys.executable, "-c", KEY_OF, *map(str, lab.files(side)), str(record["_id"])]
    environment = repository_environment({"SOFTHSM2_CONF": str(lab.softhsm_conf)})
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout


def real_dump(lab, to, *more):
    """Dump the source by mongodump itself, or skip and say why."""
    tool, why_not = mongo_tools.found("mongodump")
    if tool is None:
        pytest.skip(why_not)
    config = lab.folder / "mongodump.yaml"
    config.touch(mode=0o600)
    config.write_text(f'uri: "{(lab.folder / "old" / "uri").read_text()}"\n')
    command = [tool, "--quiet", f"--config={config}", f"--db={source(lab).name}", *more]
    subprocess.run(command, check=True, timeout=900)  # runs: mongodump
    return {"src": str(to), "source": {"secrets_file": str(lab.files("old")[1])}}


def from_backup(lab, _folder):
    (made,) = (path.parent for path in (lab.folder / "backups").rglob("backup.json"))
    return {"src": str(made), "source": {"secrets_file": str(lab.files("old")[1])}}


def from_database(lab, _folder):
    config, secrets = map(str, lab.files("old"))
    return {"source": {"config_file": config, "secrets_file": secrets}}


WAYS = {
    "backup": from_backup,
    "database": from_database,
    "folder": lambda lab, folder: real_dump(lab, folder, f"--out={folder}"),
    "packed-archive": lambda lab, folder: real_dump(lab, folder, f"--archive={folder}", "--gzip"),
    "folder-as-described": lambda lab, folder: {
        "src": str(mongodump_forms.write_folder(source(lab), folder)),
        "source": {"secrets_file": str(lab.files("old")[1])},
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_it_comes_back_equal_and_the_old_side_is_as_it_was(lab, tmp_path, way):
    given = WAYS[way](lab, tmp_path / "dump")
    record = forget(lab)
    before = digest(source(lab)), list(source(lab).locks.find())
    assert not compare(lab)["holds"]

    check_status, checked = recover(lab, "--check", "--diff", names=[record["name"]], **given)
    after_check = destination(lab).certificates.find_one({"_id": record["_id"]})
    status, first = recover(lab, "-vvv", "--diff", names=[record["name"]], **given)
    again_status, again = recover(lab, names=[record["name"]], **given)

    assert (check_status, status, again_status) == (0, 0, 0), checked[-2000:] + first[-3000:] + again[-2000:]
    assert (after_check, changed(checked), changed(first), changed(again)) == (None, {"new": 1}, {"new": 1}, {"new": 0})
    assert (digest(source(lab)), list(source(lab).locks.find())) == before
    here = destination(lab).certificates.find_one({"_id": record["_id"]})
    assert bson.encode(here) == bson.encode(record)
    assert key_at(lab, "new", record) == key_at(lab, "old", record)
    assert pki.public_key(key_at(lab, "new", record)) == pki.public_of(here["certificate_pem"].encode())
    found = compare(lab)
    assert (found["holds"], found["lost"], found["reused"]) == (True, [], [])
    pem = b"".join(key_at(lab, "old", record).splitlines()[1:-1])
    assert leaks(checked + first + again, {**secrets_of(lab), "private key": pem[20:60]}) == []
    assert lab.service("running", "new").returncode == 0


def test_one_that_the_product_renewed_meanwhile_is_refused_in_words_and_nothing_is_written(lab):
    record = source(lab).certificates.find_one()
    db = destination(lab)
    other = next(one for one in db.certificates.find() if one["_id"] != record["_id"])
    db.certificates.update_one({"_id": record["_id"]}, {"$set": {"certificate_pem": other["certificate_pem"]}})
    before = digest(db)
    try:
        status, output = recover(lab, ids=[str(record["_id"])], **from_database(lab, None))
        said = " ".join(output.split())

        assert status == 2
        assert "recover.exists" in said
        assert "existing: keep" in said
        assert digest(db) == before
    finally:
        db.certificates.replace_one({"_id": record["_id"]}, record)


def test_certificates_are_exported_by_the_playbook_from_the_database_and_by_the_api(lab, tmp_path):
    uri = (lab.folder / "new" / "uri").read_text()
    port = yaml.safe_load(lab.files("new")[0].read_text())["server"]["port"]
    by_database = {"dest": str(tmp_path / "database"), "formats": ["fullchain.pem", "key.pem"], "include_keys": True}
    by_api = {"dest": str(tmp_path / "api"), "api_url": f"http://127.0.0.1:{port}",
              "api_key_file": str(lab.folder / "api-key")}  # fmt: skip

    runs = []
    for road in (by_database, by_api):
        given = {f"export_certificates_{name}": value for name, value in road.items()}
        runs.append([play(lab, "export_certificates", *more, **given) for more in (("--check",), (), ())])

    for checked, first, again in runs:
        assert (checked[0], first[0], again[0]) == (0, 0, 0), checked[1][-3000:] + first[1][-2000:]
        assert (changed(first[1]), changed(again[1])) == ({"new": 1}, {"new": 0})
    count = pymongo.MongoClient(uri)[destination(lab).name].certificates.count_documents({})
    for road in (by_database, by_api):
        index = json.loads((Path(road["dest"]) / "index.json").read_text())
        assert len(index["certificates"]) == count
    key = next(Path(by_database["dest"]).rglob("key.pem"))
    assert pki.public_key(key.read_bytes()) == pki.public_of((key.parent / "fullchain.pem").read_bytes())
    assert not leaks("".join(output for three in runs for _status, output in three), secrets_of(lab))
