# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migration playbook from the outside: check, run, run again, resume after a failure; nothing secret is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pymongo
import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.plugin_utils._markup import as_seen

from tests.integration.modules.test_no_secret_shows import leaks
from tests.support import softhsm
from tests.support.demo import ansible_environment
from tests.support.demo import oracle as compare
from tests.support.lab import TOKEN, Lab, running
from tests.support.processes import repository_environment
from tests.support.reports import HOSTILE, read

RECORDS = 60


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab", records=RECORDS) as made:
        yield made


def migrate(lab, *arguments):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, "certautopilot.ops.migrate"]
    done = subprocess.run(
        [*command, *arguments], env=ansible_environment(lab), capture_output=True, text=True, check=False, timeout=900
    )
    return done.returncode, done.stdout + done.stderr


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def destination(lab):
    new = yaml.safe_load(lab.inventory.read_text())["all"]["vars"]["migrate_destination"]
    return pymongo.MongoClient((lab.folder / "new" / "uri").read_text())[new["mongodb_database"]]


def source(lab):
    config = yaml.safe_load(lab.files("old")[0].read_text())
    return pymongo.MongoClient((lab.folder / "old" / "uri").read_text())[config["database"]["name"]]


def named_by_somebody(lab):
    """Give every project of the source a name that no report may take for anything but text."""
    projects = source(lab).projects
    ids = [project["_id"] for project in projects.find()]
    for record_id, name in zip(ids, HOSTILE[-len(ids) :], strict=True):
        projects.update_one({"_id": record_id}, {"$set": {"name": name}})
    return {*HOSTILE[-len(ids) :]}


def files_of(lab):
    """Return name -> (mode, content) of what lies in the folder of the report."""
    return {path.name: (path.stat().st_mode & 0o777, path.read_text()) for path in lab.report.parent.iterdir()}


def secrets_of(lab):
    """Every secret an operator would not want in a log: both secrets.env, the PIN, the API key."""
    lines = [line.partition("=") for side in ("old", "new") for line in lab.files(side)[1].read_text().splitlines()]
    found = {
        f"{name} {value[:2]}": value.encode() for name, _equals, value in lines if re.search("KEK|PIN|PEP|JWT", name)
    }
    return {**found, "PIN file": lab.pin.encode(), "API key": (lab.folder / "api-key").read_bytes().strip()}


def written_by_now(lab):
    """What a migration could write: files outside the database's and Ansible's own, the destination, the token."""
    kept = {
        path
        for path in lab.folder.rglob("*")
        if path.relative_to(lab.folder).parts[0] not in ("db", "ansible", "ansible.cfg")
    }
    keys = softhsm.call("keys", lab.folder / "hsm", TOKEN, lab.pin)
    return {path for path in kept if "hsm/tokens" not in str(path)}, destination(lab).list_collection_names(), keys


@pytest.fixture
def writer(lab, tmp_path):
    """Return a function that starts a writer which belongs to the source: the service's stop command ends it too."""
    started = []

    def start():
        log = tmp_path / "writer.log"
        line = [*lab.service_command("writer", "old"), "--seconds", "200", "--rate", "20", "--threads", "2"]
        process = subprocess.Popen([*line, "--log", str(log)], env=repository_environment())
        started.append(process)
        stop = tmp_path / "stop.sh"
        stop.write_text(f"kill {process.pid}\nexec {shlex.join(lab.service_command('stop', 'old'))}\n")
        inventory = yaml.safe_load(lab.inventory.read_text())
        old = inventory["all"]["children"]["source"]["hosts"]["old"]
        old["certautopilot_service_stop_command"] = ["sh", str(stop)]
        lab.inventory.write_text(yaml.safe_dump(inventory))
        return log

    yield start
    for process in started:
        process.kill()
        process.wait(timeout=10)


def last_acknowledged(log):
    """Return record id -> SHA-256 of the plaintext of its last acknowledged write."""
    last = {}
    for entry in map(json.loads, log.read_text().splitlines()):
        if entry["sequence"] >= last.get(entry["id"], entry)["sequence"]:
            last[entry["id"]] = entry
    return {record_id: entry["sha256"] for record_id, entry in last.items()}


def standing(lab, ids):
    """Return record id -> SHA-256 of what the source holds, opened by the oracle's side."""
    command = [sys.executable, "-c", OPEN_THESE, *map(str, lab.files("old"))]
    opened = subprocess.run(command, env=repository_environment(), input=json.dumps(ids), text=True,
                            capture_output=True, check=True)  # fmt: skip
    return json.loads(opened.stdout)


OPEN_THESE = """
import hashlib, json, sys
from pathlib import Path
from bson import ObjectId
from tests.support.oracle import Side
side, field, found = Side(*map(Path, sys.argv[1:])), "encrypted_api_key", {}
for text in json.load(sys.stdin):
    document = side.db.dns_credentials.find_one({"_id": ObjectId(text)})
    found[text] = hashlib.sha256(side.open(document["_id"], field, document[field])).hexdigest()
json.dump(found, sys.stdout)
"""


def test_check_writes_nothing_a_run_under_load_loses_nothing_and_a_second_run_changes_nothing(lab, writer):
    names = named_by_somebody(lab)
    before = written_by_now(lab)
    status, checked = migrate(lab, "--check", "--diff")
    after_check = written_by_now(lab)
    log = writer()
    first_status, first = migrate(lab, "-vvvv", "--diff")
    reported = files_of(lab)
    again_status, again = migrate(lab)

    assert (status, first_status, again_status) == (0, 0, 0), checked[-2000:] + first[-2000:] + again[-2000:]
    assert changed(checked)["new"] > 0
    assert after_check == before
    report = compare(lab)
    acknowledged = last_acknowledged(log)
    now = standing(lab, sorted(acknowledged))
    late = [record_id for record_id in acknowledged if now[record_id] != acknowledged[record_id]]
    assert report["holds"]
    assert report["records"] >= RECORDS + len(acknowledged)
    assert len(acknowledged) > 50
    assert len(late) <= 2  # a write of either thread that was committed but not yet logged when it was ended
    assert f"{report['records']} equal, 0 lost" in first
    assert changed(again) == {"new": 0, "old": 0}
    assert files_of(lab) == reported
    assert leaks(checked + first + again + "".join(told for _mode, told in reported.values()), secrets_of(lab)) == []
    reports_what_was_migrated(reported, names, report["records"])


def reports_what_was_migrated(files, names, records):
    """See that JSON and page tell of both sides, and that names are text."""
    assert {name: mode for name, (mode, _told) in files.items()} == {"migration.json": 0o600, "migration.html": 0o600}
    written, page = json.loads(files["migration.json"][1]), read(files["migration.html"][1]).read
    times = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', files["migration.json"][1])

    assert (written["records"], written["lost"]) == (records, 0)
    assert {one["name"] for one in written["projects"] if one["id"]} == {as_seen(name) for name in names}
    for counted in (written["projects"], written["collections"]):
        assert sum(one["exported"] for one in counted) == sum(one["equal"] for one in counted) > 0
    assert [name for name in names if as_seen(name) not in page] == []
    assert [one for one in times if not re.fullmatch(r"[-0-9]{10}T[0-9:.]+Z", one)] == []
    stages = [one["name"] for one in written["stages"]]
    assert stages == sorted(written["stages_started"], key=written["stages_started"].get)
    assert len(stages) == 11


def test_a_migration_that_failed_goes_back_and_then_on_where_it_stopped(lab):
    """It fails at the import (an index the records violate), then at the start (the destination never gets ready)."""
    db = destination(lab)
    db.zones.create_index("project_id", unique=True)
    first_status, first = migrate(lab)
    db.zones.drop_indexes()
    healthy = lab.inventory.read_text()
    inventory = yaml.safe_load(healthy)
    broken = {"certautopilot_health_url": "http://127.0.0.1:9/readyz", "service_health_timeout_s": 1}
    inventory["all"]["children"]["destination"]["hosts"]["new"].update(broken)
    lab.inventory.write_text(yaml.safe_dump(inventory))
    second_status, second = migrate(lab)
    running = {side: lab.service("running", side).returncode == 0 for side in ("old", "new")}
    state = db.kek_imports.find_one()["state"]
    lab.inventory.write_text(healthy)

    third_status, third = migrate(lab)

    assert (first_status, second_status) == (2, 2)
    assert "migrate.import: failed at" in first
    assert "migrate.start: failed at" in second
    assert running == {"old": True, "new": False}
    assert state == "proven"
    evidence = [json.loads(path.read_text()) for path in (lab.folder / "report").glob("failed-*/*.json")]
    assert {entry["stage"] for entry in evidence} == {"import", "start"}
    unchanged = {entry["stage"]: str(entry["source_unchanged"]) for entry in evidence if entry["host"] == "old"}
    assert unchanged == {"import": "False", "start": "True"}  # before the last export nothing is known of it
    evidence_is_one_folder_here_and_there(lab)
    for output in (first, second):
        end = output.rpartition("failed at")[2]
        assert "go on with: ansible-playbook -i " in end
        assert end.rindex("certautopilot.ops.rollback") > end.rindex("certautopilot.ops.migrate")
    assert third_status == 0, third[-3000:]
    assert "2 backup(s) of earlier tries" in third
    assert compare(lab)["holds"]


def test_an_export_that_failed_is_the_only_reason_given(lab):
    bundle = lab.folder / "work-old" / "bundle"
    bundle.parent.mkdir(mode=0o700, exist_ok=True)
    bundle.write_text("somebody's file where the bundle's folder would be")

    status, output = migrate(lab)

    assert status == 2
    assert "migrate.export: failed at" in output
    assert "migrate.no_bundle: old did not hand over its bundle" in output
    assert "was not put" not in output
    assert bundle.read_text().startswith("somebody's")
    assert lab.service("running", "old").returncode == 0


def evidence_is_one_folder_here_and_there(lab):
    """Of each failed run: the same name and the same words on hosts and controller, private, and a page of it."""
    here = {path.parent.name: path.parent for path in (lab.folder / "report").glob("failed-*/*.json")}
    there = {
        path.parent.name: path.parent for path in (lab.folder / "ansible").glob("*evidence/failed-*/evidence.json")
    }
    assert set(here) == set(there)
    assert len(here) == 2
    for name, folder in there.items():
        told = json.loads((folder / "evidence.json").read_text())
        assert {path.name for path in folder.iterdir()} == {"old.json", "new.json", "evidence.json", "evidence.html"}
        assert {path.stat().st_mode & 0o777 for path in (*folder.iterdir(), *here[name].iterdir())} == {0o600}
        assert (folder / "old.json").read_text() == (here[name] / "old.json").read_text()
        assert (told["name"], told["kind"], told["unreachable"]) == (name, "failure", [])
        assert told["stage"] in read((folder / "evidence.html").read_text()).read
        assert told["left_to_do"][-1].endswith("certautopilot.ops.rollback")


def write_to_the_source(lab):
    config, secrets_env = (path.read_text() for path in lab.files("old"))
    uri = re.search("^CERTAUTOPILOT_DATABASE_URI=(.*)$", secrets_env, re.MULTILINE).group(1)
    pymongo.MongoClient(uri)[yaml.safe_load(config)["database"]["name"]].zones.insert_one(
        {"_id": "by a foreign writer"}
    )


def let_others_write_into_the_bundles_folder(lab):
    (lab.folder / "work-old" / "changes").chmod(0o777)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (write_to_the_source, "its database CHANGED after it was stopped"),
        pytest.param(
            let_others_write_into_the_bundles_folder, "its database could not be read again", marks=pytest.mark.slow
        ),
    ],
)
def test_what_happens_to_a_stopped_source_after_its_last_export_is_noticed_and_it_serves_again(lab, happens, said):
    exported = lab.folder / "work-old" / "changes" / "manifest.json"

    def wait():
        while not exported.exists() and not over.wait(0.05):
            pass
        if exported.exists():
            happens(lab)

    over = threading.Event()
    meanwhile = threading.Thread(target=wait)
    meanwhile.start()
    status, output = migrate(lab)
    over.set()
    meanwhile.join()
    running = {side: lab.service("running", side).returncode == 0 for side in ("old", "new")}
    (lab.folder / "work-old" / "changes").chmod(0o700)
    again_status, again = migrate(lab)

    assert status == 2
    assert "migrate.proof: failed at" in output
    assert said in " ".join(output.split())
    assert running == {"old": True, "new": False}
    assert again_status == 0, again[-3000:]
    assert compare(lab)["holds"]


def test_a_fresh_env_installation_gets_a_kek_that_nobody_sees_and_keeps_it(tmp_path):
    lab = Lab(tmp_path / "lab")
    lab.up(records=0, with_source=False)
    try:
        inventory = yaml.safe_load(lab.inventory.read_text())
        inventory["all"]["children"]["destination"]["hosts"]["new"]["install_provider"] = "env"
        lab.inventory.write_text(yaml.safe_dump(inventory))
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory]
        command += ["certautopilot.ops.fresh_install", "-vvvv", "--diff"]
        runs = [
            subprocess.run(command, env=ansible_environment(lab), capture_output=True, text=True, check=False)
            for _number in range(2)
        ]
        secrets_env = lab.files("new")[1].read_text()
        (kek,) = re.findall(r"^CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1=([0-9a-f]{64})$", secrets_env, re.MULTILINE)
        row = destination(lab).kek_versions.find_one({"_id": 1})
    finally:
        lab.down()

    assert [run.returncode for run in runs] == [0, 0], runs[0].stdout[-2000:]
    assert (row["provider"], row["state"]) == ("env", "active")
    assert changed(runs[1].stdout) == {"new": 0}
    assert (
        leaks("".join(run.stdout + run.stderr for run in runs), {"KEK": kek.encode(), "bytes": bytes.fromhex(kek)})
        == []
    )


@pytest.mark.parametrize("playbook", ["migrate", "fresh_install", "rotate"])
def test_an_inventory_without_the_playbooks_hosts_is_a_failure(tmp_path, playbook):
    lab = Lab(tmp_path / "lab")
    lab.folder.mkdir()
    lab.inventory.write_text("all:\n  hosts:\n    somebody:\n      ansible_connection: local\n")
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, f"certautopilot.ops.{playbook}"]

    done = subprocess.run(command, env=ansible_environment(lab), capture_output=True, text=True, check=False)

    assert done.returncode == 2, done.stdout + done.stderr


def test_a_destination_that_serves_somebody_else_is_refused_and_neither_stopped_nor_written_to(lab):
    """The wrong host in group destination: the source itself plays it, with a migration from a second one."""
    inventory = yaml.safe_load(lab.inventory.read_text())
    hosts = inventory["all"]["children"]
    hosts["source"]["hosts"], busy = {"new": hosts["destination"]["hosts"]["new"]}, hosts["source"]["hosts"]["old"]
    hosts["destination"]["hosts"] = {"old": busy}
    hosts["certautopilot"]["hosts"] = {}
    name = yaml.safe_load(lab.files("old")[0].read_text())["database"]["name"]
    inventory["all"]["vars"]["migrate_destination"]["mongodb_database"] = name
    inventory["all"]["vars"]["migrate_destination"]["mongodb_uri_file"] = str(lab.folder / "old" / "uri")
    fresh = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, "certautopilot.ops.fresh_install"]
    subprocess.run(fresh, env=ansible_environment(lab), capture_output=True, check=True)
    lab.inventory.write_text(yaml.safe_dump(inventory))
    client = pymongo.MongoClient((lab.folder / "old" / "uri").read_text())
    before = {n: client[name][n].count_documents({}) for n in client[name].list_collection_names()}

    status, output = migrate(lab)

    assert status == 2
    assert "migrate.empty" in output
    assert lab.service("running", "old").returncode == 0
    assert lab.service("running", "new").returncode == 0
    assert {n: client[name][n].count_documents({}) for n in client[name].list_collection_names()} == before
    assert changed(output) == {"new": 0, "old": 0}


def test_install_refuses_options_that_its_kept_files_contradict_and_names_them_without_values(tmp_path):
    lab = Lab(tmp_path / "lab")
    lab.up(records=0, with_source=False)
    try:
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory]
        command.append("certautopilot.ops.fresh_install")
        run = {"env": ansible_environment(lab), "capture_output": True, "text": True}
        first = subprocess.run(command, check=False, **run)
        other_port = subprocess.run([*command, "-e", '{"install_server_port": 1}'], check=False, **run)
        secret = '{"install_extra_secrets": {"VENDOR_SETTING": "value-not-to-be-shown"}}'
        other_secret = subprocess.run([*command, "-e", secret], check=False, **run)
        os.mkfifo(tmp_path / "fifo", 0o600)
        (tmp_path / "link").symlink_to(lab.folder / "old" / "uri")
        odd = [
            subprocess.run([*command, "-e", f"install_{file}={tmp_path / kind}"], check=False, timeout=900, **run)
            for file, kind in (("pkcs11_pin_file", "fifo"), ("kek_file", "link"), ("pkcs11_pin_file", "link"))
        ]
    finally:
        lab.down()

    assert first.returncode == 0, first.stdout[-2000:]
    assert other_port.returncode == other_secret.returncode == 2
    assert "install.config_differs" in other_port.stdout + other_port.stderr
    assert "install.secrets_differ" in other_secret.stdout + other_secret.stderr
    assert "VENDOR_SETTING" in other_secret.stdout + other_secret.stderr
    assert "value-not-to-be-shown" not in other_secret.stdout + other_secret.stderr
    said = [(one.returncode, "install.secret_file" in one.stdout + one.stderr) for one in odd]
    assert said == [(2, True), (0, False), (2, True)]  # X24, X25; provider pkcs11 reads no KEK
