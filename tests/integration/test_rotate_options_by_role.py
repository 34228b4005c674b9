# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the role rotate that an HSM and a compromise ask for, by ansible-playbook, over two hosts.

Both hosts have the same installation and the same SoftHSM2 token, on this machine. The shim before SoftHSM2 counts.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
import yaml

from tests.support import hsm_shim
from tests.support.demo import ansible_environment
from tests.support.lab import Lab
from tests.support.oracle import envelopes_in

pytestmark = pytest.mark.skipif(hsm_shim.compiler() is None, reason=hsm_shim.NO_COMPILER)

RECORDS = 60
SHARE = 60  # HSM calls a second of each host
LINE = re.compile(r"^(\w+): kek_rotate to version 2: (\d+)%, (\d+) of \d+ envelopes", re.MULTILINE)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An installation with records and its key in a token, and an inventory of two hosts for it."""
    made = Lab(tmp_path / "lab")
    library = hsm_shim.build(tmp_path)
    for name, value in hsm_shim.environment().items():
        monkeypatch.setenv(name, value)
    try:
        made.up(records=0, with_source=False)
        inventory = yaml.safe_load(made.inventory.read_text())
        groups = inventory["all"]["children"]
        new = groups["destination"]["hosts"]["new"] | {"install_pkcs11_module_path": str(library)}
        made.inventory.write_text(yaml.safe_dump({"all": {"children": {"certautopilot": {"hosts": {"new": new}}}}}))
        installed = play(made, "fresh_install")
        assert installed.returncode == 0, installed.stdout + installed.stderr
        seeded = made.service("seed", "new", "--records", str(RECORDS), "--api-key-file", str(made.folder / "api-key"))
        assert seeded.returncode == 0, seeded.stderr
        hosts = {"new": new, "other": {name: value for name, value in new.items() if not name.startswith("install_")}}
        given = {"rotate_report_dir": str(made.folder / "evidence"), "rotate_to_version": 2}
        whole = {"all": {"vars": given, "children": {"certautopilot": {"hosts": hosts}}}}
        made.inventory.write_text(yaml.safe_dump(whole))
        yield made
    finally:
        made.down()


def play(lab, name, *arguments):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, f"certautopilot.ops.{name}"]
    return subprocess.run(
        [*command, *arguments], env=ansible_environment(lab), capture_output=True, text=True, check=False, timeout=900
    )


def database(lab):
    name = yaml.safe_load(lab.files("new")[0].read_text())["database"]["name"]
    return pymongo.MongoClient((lab.folder / "new" / "uri").read_text())[name]


def workers_of(printed):
    """Return what every call of kek_rotate was given as workers, as -vvv shows it."""
    return {int(found) for found in re.findall(r"slice_seconds: 1\n(?: .*\n)*? +workers: (\d+)\n", printed)}


def sealed(db):
    """Return place -> (wrapped data key, payload) of every envelope."""
    return {
        f"{name}/{document['_id']}.{path} {number}": (bytes(found["wrapped_dek"]), bytes(found["ciphertext"]))
        for name in db.list_collection_names()
        if not name.startswith("kek_")
        for document in db[name].find()
        for number, (path, found) in enumerate(envelopes_in(document))
    }


def test_t39_a_compromise_an_hsm_share_and_workers_found_by_measuring_reach_both_hosts(lab, monkeypatch):
    monkeypatch.setenv("SHIM_LATENCY_US", "4000")  # while one worker waits for the HSM another one can work
    db = database(lab)
    before = sealed(db)
    options = ["rotate_make_key=true", "rotate_compromised=true", "rotate_workers=auto", f"rotate_hsm_share={SHARE}"]
    options += ["rotate_slice_seconds=1", "rotate_batch_size=4", "rotate_settle_timeout_s=60"]

    done = play(lab, "rotate", "-vvv", *(word for option in options for word in ("-e", option)))
    again = play(lab, "rotate", "-e", "rotate_compromised=true")

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    printed = done.stdout + done.stderr
    # What was asked for and what was measured reached the module.
    measured = {int(found) for found in re.findall(r"recommended_workers: (\d+)", printed)}
    assert re.search(r"hsm_share: 60\b", printed)
    assert workers_of(printed) == measured
    assert min(measured) > 1
    # Each host printed lines, and said which share it sealed anew; together they are everything.
    shares = [int(share) for share in re.findall(r"(\d+) envelope\(s\) were sealed anew by this host", printed)]
    lines = LINE.findall(printed)  # as many as the machine is slow, but one of each host
    assert {host for host, _percent, _moved in lines} == {"new", "other"}
    after = sealed(db)
    assert (len(shares), sum(shares), min(shares) > 0) == (2, len(after), True)
    assert [place for place, parts in after.items() if set(parts) & set(before[place])] == []
    # Both hosts know what must be reissued.
    [listed] = (lab.folder / "evidence").glob("reissue-*.json")
    assert json.loads(listed.read_text())["total"] == sum(shares)
    states = {row["_id"]: row.get("state") for row in db.kek_versions.find()}
    assert (states[1], states[2]) == ("compromised", "active")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 envelope(s) were sealed anew by this host" in again.stdout


def test_a_number_of_workers_reaches_the_token_and_a_cancellation_prints_how_far_it_is(lab):
    options = ["rotate_make_key=true", "rotate_workers=3", f"rotate_hsm_share={SHARE}", "rotate_slice_seconds=1"]
    arguments = [word for option in [*options, "rotate_batch_size=4"] for word in ("-e", option)]

    ready = play(lab, "rotate", *arguments, "-e", "rotate_stop_before=swap", "-e", "rotate_hosts_join=false", "-vvv")
    back = play(lab, "rotate", *arguments, "-e", "rotate_state=cancelled", "-vvv")

    assert (ready.returncode, back.returncode) == (0, 0), ready.stdout[-3000:] + back.stdout[-3000:]
    assert (workers_of(ready.stdout), workers_of(back.stdout)) == ({3}, {3})
    moved = [int(found) for found in re.findall(r"kek_rotate back from version 2: \d+%, (\d+) of", back.stderr)]
    assert len(moved) > 1, back.stderr
    assert (moved, moved[-1]) == (sorted(moved), max(moved))
    assert f"rotation to version 2 is cancelled, {moved[-1]} envelope(s) were taken back" in back.stdout
    db = database(lab)
    assert db.kek_rotations.find_one({"_id": "to-2"})["state"] == "cancelled"
    assert db.dns_credentials.count_documents({"kek_version": 2}) == 0
