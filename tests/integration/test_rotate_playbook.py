# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation playbook from the outside, over two hosts with a process of the service each, on one database.

What envelopes hold is judged by the oracle's side in a process of its own; Ansible prints as it does for a user.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
import yaml

from tests.integration.modules.test_no_secret_shows import leaks
from tests.support.demo import ansible_environment
from tests.support.lab import Lab
from tests.support.processes import repository_environment

RECORDS = 40
HOSTS = ("old", "new")
KEK = "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V"

OPENED = """
import hashlib, json, sys
from pathlib import Path
from tests.support.oracle import Side, envelopes_in
side, found = Side(*map(Path, sys.argv[1:])), {}
for name in side.collections():
    for document in side.db[name].find():
        for path, sealed in envelopes_in(document):
            try:
                payload = hashlib.sha256(side.open(document["_id"], path, sealed)).hexdigest()
            except Exception:
                payload = "does not open"
            found[f"{name}/{document['_id']}.{path}"] = [document["kek_version"], sealed["kek_version"], payload]
json.dump(found, sys.stdout)
"""


def playbook(lab, *arguments):
    """Return the command that rotates to version 2 with these arguments."""
    command = ["ansible-playbook", "-i", str(lab.inventory), "certautopilot.ops.rotate", "-e", "rotate_to_version=2"]
    return [*command, *arguments]


def run(lab, command):
    """Return (exit status, everything printed) of a command as a user of this environment would run it."""
    environment = ansible_environment(lab)
    del environment["ANSIBLE_CALLBACK_RESULT_FORMAT"]  # what is printed must be of use in Ansible's default format
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=900
    )  # runs: ansible-playbook (commands_in finds nothing else)
    return done.returncode, done.stdout + done.stderr


class Fleet:
    """Two hosts of one installation: the laboratory's `old`, and `new` with a copy of its files and another port."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        inventory = yaml.safe_load(lab.inventory.read_text())
        sides = inventory["all"]["children"]
        hosts = {"old": sides["source"]["hosts"]["old"], "new": sides["destination"]["hosts"]["new"]}
        hosts["new"]["certautopilot_environment"] = {}
        self.report = lab.folder / "evidence"
        given = {"rotate_report_dir": str(self.report), "rotate_wait_timeout_s": 20, "rotate_settle_timeout_s": 30}
        whole = {"all": {"vars": given, "children": {"certautopilot": {"hosts": hosts}}}}
        lab.inventory.write_text(yaml.safe_dump(whole))
        document = yaml.safe_load(lab.files("old")[0].read_text())
        self.db = pymongo.MongoClient((lab.folder / "old" / "uri").read_text())[document["database"]["name"]]
        document["server"]["port"] = int(hosts["new"]["certautopilot_health_url"].rsplit(":", 1)[1].split("/")[0])
        lab.files("new")[0].write_text(yaml.safe_dump(document))

    def give_kek(self, version: int) -> None:
        """Give every host the same new KEK and start every process anew, as an operator would."""
        line = f"{KEK}{version}={secrets.token_hex(32)}\n"
        lines = self.lab.files("old")[1].read_text() + line
        for side in HOSTS:
            self.lab.service("stop", side)
            self.lab.files(side)[1].touch(mode=0o600)
            self.lab.files(side)[1].write_text(lines)
        self.db.process_heartbeats.delete_many({})  # as if 120 s had passed since the stop
        for side in HOSTS:
            started = self.lab.service("serve", side)
            assert started.returncode == 0, started.stderr

    def rotate(self, *arguments: str) -> tuple[int, str]:
        return self.run(playbook(self.lab, *arguments))

    def run(self, command: list[str]) -> tuple[int, str]:
        return run(self.lab, command)

    def opened(self) -> dict[str, list]:
        """Return place -> [version of the record, version of the envelope, SHA-256 of the payload]."""
        command = [sys.executable, "-c", OPENED, *map(str, self.lab.files("old"))]
        done = subprocess.run(command, env=repository_environment(), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def stored(self) -> dict[str, list]:
        """Return every document but heartbeats."""
        names = set(self.db.list_collection_names()) - {"process_heartbeats"}
        return {name: list(self.db[name].find(sort=[("_id", 1)])) for name in sorted(names)}

    def active(self) -> int:
        return self.db.kek_versions.find_one({"_id": "active"})["version"]

    def secrets(self) -> dict[str, bytes]:
        lines = [line.partition("=") for line in self.lab.files("old")[1].read_text().splitlines()]
        return {name: value.encode() for name, _equals, value in lines if re.search("KEK|PEP|JWT", name)}


@pytest.fixture
def fleet(tmp_path):
    lab = Lab(tmp_path / "lab")
    try:
        lab.up(records=RECORDS, with_source=True)
        made = Fleet(lab)
        made.give_kek(2)
        yield made
    finally:
        lab.down()


def moved_to(version, before):
    return {place: [version, version, payload] for place, (_record, _envelope, payload) in before.items()}


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def reasons(output):
    """Return host -> code of the failure that it ended with, the same in `failure` and in `msg`."""
    ended = r'^fatal: \[(\w+)\]: FAILED! => {"changed": false, "failure": {"code": "([a-z_.]+)", [^}]*}, "msg": "\2: '
    return dict(re.findall(ended, output, re.MULTILINE))


def commands_in(output):
    """Return the commands an operator would copy out of what was printed."""
    return [shlex.split(found) for found in re.findall(r'"(ansible-playbook .*?)",?$', output, re.MULTILINE)]


def test_check_writes_nothing_two_hosts_move_everything_once_and_a_second_run_changes_nothing(fleet):
    before, stored = fleet.opened(), fleet.stored()
    check_status, checked = fleet.rotate("--check", "--diff")
    untouched = fleet.stored() == stored

    status, output = fleet.rotate("-vvvv", "--diff")
    again_status, again = fleet.rotate()

    assert (check_status, status, again_status) == (0, 0, 0), checked[-2000:] + output[-2000:] + again[-2000:]
    assert untouched
    assert f"{len(before)} envelope(s) would be re-wrapped by this host" in checked
    shares = [int(share) for share in re.findall(r"(\d+) envelope\(s\) were re-wrapped by this host", output)]
    assert len(shares) == 2
    assert sum(shares) == len(before)
    assert fleet.opened() == moved_to(2, before)
    assert fleet.active() == 2
    assert {beat["current_version"] for beat in fleet.db.process_heartbeats.find()} == {2}
    assert changed(again) == {"new": 0, "old": 0}
    reported = {path.suffix: path.read_text() for path in fleet.report.iterdir()}
    assert set(reported) == {".json", ".html"}
    assert json.loads(reported[".json"])["rotation"]["rewrapped"] == len(before)
    assert leaks(checked + output + again + "".join(reported.values()), fleet.secrets()) == []


def test_t13_a_failed_rotation_keeps_evidence_and_its_printed_commands_take_it_back_and_complete_it(fleet):
    before = fleet.opened()
    victim = fleet.db.dns_credentials.find_one()
    wrap = victim["encrypted_api_key"]["wrapped_dek"]
    poisoned = {"encrypted_api_key.wrapped_dek": wrap[:-1] + bytes([wrap[-1] ^ 1])}
    fleet.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$set": poisoned})
    catalogue = {"zones": ["spare.secret", "with a blank"]}
    status, output = fleet.rotate("-e", "rotate_batch_size=7", "-e", json.dumps({"rotate_catalogue": catalogue}))
    halted = fleet.opened()
    (kept,) = [json.loads(path.read_text()) for path in fleet.report.iterdir()]
    on, back = commands_in(output)

    back_status, taken_back = fleet.run(back)
    after_back = fleet.opened()
    repaired = {"encrypted_api_key.wrapped_dek": wrap}
    fleet.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$set": repaired})
    on_status, completed = fleet.run(on)

    assert status == 2
    assert "rotate.incomplete" in reasons(output).values()
    assert str(victim["_id"]) in output
    place = f"dns_credentials/{victim['_id']}.encrypted_api_key"
    assert {where: version for where, (_record, version, _payload) in halted.items() if version != 2} == {place: 1}
    assert fleet.active() == 2
    assert kept["rotation"]["state"] == "rewrapping"
    assert [str(victim["_id"]) in failure["place"] for failure in kept["rotation"]["failures"]] == [True]
    assert kept["active"]["version"] == 1
    assert {reason.split(": ")[0] for reason in kept["reasons"]} == set(HOSTS)
    assert back_status == 0, taken_back[-2000:]
    assert {version for _record, version, _payload in after_back.values()} == {1}
    assert "rotate_batch_size=7" in on
    assert {"rotate_catalogue": catalogue} in map(yaml.safe_load, on)
    assert on_status == 0, completed[-2000:]
    assert fleet.opened() == moved_to(2, before)


def test_a_host_that_cannot_rotate_stops_all_of_them_before_the_old_version_is_retired(fleet):
    stale = fleet.lab.files("new")[1].with_name("stale.env")
    stale.touch(mode=0o600)
    lines = fleet.lab.files("new")[1].read_text().splitlines(keepends=True)
    stale.write_text("".join(line for line in lines if "V2" not in line))
    inventory = fleet.lab.inventory.read_text()
    changed_host = yaml.safe_load(inventory)
    changed_host["all"]["children"]["certautopilot"]["hosts"]["old"]["certautopilot_secrets_file"] = str(
        stale
    )  # not the first
    fleet.lab.inventory.write_text(yaml.safe_dump(changed_host))
    retire = ["-e", "rotate_remove_version=1", "-e", "rotate_remove_grace_s=0"]
    status, output = fleet.rotate(*retire)
    rows = {row["_id"]: row.get("state") for row in fleet.db.kek_versions.find()}
    (on,) = commands_in(output)
    fleet.lab.inventory.write_text(inventory)

    on_status, completed = fleet.run(on)
    again_status, again = fleet.run(on)

    assert status == 2
    told = reasons(output)
    # Where the other host was quick, V2 is active already when this one begins.
    assert told.pop("old") in ("rotate.target_not_loaded", "key.not_loaded")
    assert told == {"new": "rotate.another_host"}
    assert (rows[1], rows[2]) == ("deactivated", "active")
    assert (on_status, again_status) == (0, 0), completed[-2000:] + again[-2000:]
    retired = fleet.db.kek_versions.find_one({"_id": 1})
    assert (retired["state"], retired["removed_at"] is None) == (
        "deactivated",
        False,
    )  # its KEK is in secrets.env still
    assert changed(again) == {"new": 0, "old": 0}


def test_everything_is_made_ready_and_the_printed_commands_take_it_back_and_finish_it(fleet):
    before = fleet.opened()
    status, output = fleet.rotate("-e", "rotate_stop_before=swap", "-e", "rotate_slice_seconds=1")
    ready, active = fleet.opened(), fleet.active()
    finish, back = commands_in(output)
    again_status, again = fleet.rotate("-e", "rotate_stop_before=swap")
    retire = ["-e", "rotate_stop_before=swap", "-e", "rotate_remove_version=1"]
    retire_status, retiring = fleet.rotate(*retire)

    back_status, _taken_back = fleet.run(back)
    after_back = fleet.opened()
    finish_status, finished = fleet.run(finish)

    assert (status, again_status, retire_status) == (0, 0, 2), output[-4000:] + again[-200:]
    assert (ready, active) == (moved_to(2, before), 1)
    assert changed(again) == {"new": 0, "old": 0}
    assert reasons(retiring) == {"old": "rotate.stop_removes", "new": "rotate.stop_removes"}
    assert "rotate_slice_seconds=1" in finish
    assert not [word for word in finish if "stop_before" in word]
    assert (back_status, after_back) == (0, before)
    assert finish_status == 0, finished[-2000:]
    assert (fleet.opened(), fleet.active()) == (moved_to(2, before), 2)


def test_nothing_begins_untyped_or_before_the_fleet_is_ready_and_nothing_is_retired_in_its_grace_period(fleet):
    before = fleet.stored()
    untyped_status, untyped = fleet.rotate("-e", "rotate_remove_version=1", "-e", "rotate_destroy_key=true")
    late = {"updated_at": fleet.db.client.admin.command("hello")["localTime"], "loaded_versions": [1]}
    fleet.db.process_heartbeats.insert_one({"_id": "late", "current_version": 1, **late})
    files = [
        f"rotate_{name}_file={path}" for name, path in zip(("config", "secrets"), fleet.lab.files("old"), strict=True)
    ]
    late_status, too_early = fleet.rotate("-e", "rotate_wait_timeout_s=1", "-e", files[0], "-e", files[1])
    untouched = fleet.stored() == before
    fleet.db.process_heartbeats.delete_one({"_id": "late"})

    status, output = fleet.rotate("-e", "rotate_remove_version=1", "-e", "rotate_hosts_join=false")

    assert (untyped_status, late_status, status) == (2, 2, 2), output[-2000:]
    assert "rotate.unconfirmed" in untyped
    assert reasons(too_early) == {"old": "fleet.not_ready", "new": "fleet.not_ready"}
    assert "no rotation to version 2 has begun" in too_early
    assert untouched
    assert reasons(output) == {"old": "remove.too_soon", "new": "remove.too_soon"}
    assert "rotation to-2 is complete" in output
    assert "re-wraps" in output
    assert (fleet.active(), fleet.db.kek_versions.find_one({"_id": 1})["state"]) == (2, "deactivated")
    # what has not begun cannot be taken back, nor what is complete
    ((early_on,), (late_on,)) = commands_in(too_early), commands_in(output)
    assert set(files) < set(early_on)  # the same for all hosts, so they were given, or may be
    assert not [word for word in late_on if "_file=" in word]  # each host has its own


def test_a_database_that_does_not_answer_is_the_reason_given_and_the_way_on_is_printed_all_the_same(tmp_path):
    lab = Lab(tmp_path / "lab")
    for side in HOSTS:
        (lab.folder / side).mkdir(parents=True)
        config, secrets_file = lab.files(side)
        config.write_text(yaml.safe_dump({"database": {"name": "gone"}, "encryption": {"provider": "env"}}))
        secrets_file.touch(mode=0o600)
        secrets_file.write_text(f"CERTAUTOPILOT_DATABASE_URI=mongodb://127.0.0.1:9/\n{KEK}1={secrets.token_hex(32)}\n")
    hosts = {
        side: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "certautopilot_runtime": False,
            "certautopilot_config_file": str(lab.files(side)[0]),
            "certautopilot_secrets_file": str(lab.files(side)[1]),
            "rotate_report_dir": "/proc/no-evidence-here",
        }
        for side in HOSTS
    }
    lab.inventory.write_text(yaml.safe_dump({"all": {"children": {"certautopilot": {"hosts": hosts}}}}))

    status, output = run(lab, playbook(lab))

    assert status == 2
    assert reasons(output) == {"old": "database.unreachable", "new": "database.unreachable"}
    assert "how far it came could not be read: database.unreachable" in output
    assert "evidence could NOT be kept in /proc/no-evidence-here" in output
    on, back = commands_in(output)
    assert on == playbook(lab)
    assert back == playbook(lab, "-e", "rotate_state=cancelled")
