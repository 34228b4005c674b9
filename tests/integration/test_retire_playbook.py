# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook retire_old_install on this machine: refused for each thing that is missing, done when nothing is.

What only hosts with systemd show, that nothing serves at a boot, and a copy on another machine, is in hosts/.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pymongo
import pyrage
import pytest
import yaml

from tests.support.demo import ansible_environment
from tests.support.lab import running

RECORDS = 30


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A laboratory after a migration: `old` is stopped, `new` serves, and there is a backup with its identity."""
    with running(tmp_path_factory.mktemp("lab") / "lab", records=RECORDS) as made:
        status, output = play(made, "migrate")
        assert status == 0, output[-3000:]
        made.recovery = made.folder / "recovery"
        made.recovery.mkdir(mode=0o700)
        identity = pyrage.x25519.Identity.generate()
        private(made.recovery / "identity", f"{identity}\n")
        made.identity, made.backup = identity, back_up(made, "last", str(identity.to_public()))
        yield made


def private(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def play(lab, playbook, *arguments):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, f"certautopilot.ops.{playbook}"]
    done = subprocess.run(
        [*command, *arguments], env=ansible_environment(lab), capture_output=True, text=True, check=False, timeout=900
    )
    return done.returncode, done.stdout + done.stderr


def back_up(lab, name, *recipients):
    """Back the old installation up, as an operator does by the module; return the folder."""
    dest = lab.folder / "backups" / name
    config, secrets_file = lab.files("old")
    options = {
        "dest": str(dest),
        "config_file": str(config),
        "secrets_file": str(secrets_file),
        "recipients": recipients,
    }
    command = [Path(sys.executable).parent / "ansible", "-i", lab.inventory, "old", "-m", "certautopilot.ops.db_backup"]
    environment = ansible_environment(lab)
    subprocess.run([*command, "-a", json.dumps(options)], env=environment, check=True, capture_output=True)
    return dest


def database(lab):
    name = yaml.safe_load(lab.files("old")[0].read_text())["database"]["name"]
    return pymongo.MongoClient((lab.folder / "old" / "uri").read_text())[name]


def given(lab, **changed):
    """Return arguments with which all conditions hold, some of them changed."""
    options = {
        "retire_old_install_confirm": database(lab).name,
        "retire_old_install_grace_days": 0,
        "retire_old_install_backup": str(lab.backup),
        "retire_old_install_identity_file": str(lab.recovery / "identity"),
        **{f"retire_old_install_{name}": value for name, value in changed.items()},
    }
    return ["-e", json.dumps(options)]


def left(lab):
    """What a retirement could change on this machine."""
    paths = [path for side in ("old", "new", "report", "backups") for path in (lab.folder / side).rglob("*")]
    kept = {str(path): path.read_bytes() for path in paths if path.is_file() and path.name not in ("pid", "log")}
    return (
        kept,
        sorted(database(lab).list_collection_names()),
        [lab.service("running", s).returncode for s in ("old", "new")],
    )


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def by_somebody_else(lab):
    imports = pymongo.MongoClient((lab.folder / "new" / "uri").read_text())[database_of_new(lab)].kek_imports
    imports.update_one({}, {"$set": {"state": "proven"}})
    return lambda: imports.update_one({}, {"$set": {"state": "accepted"}})


def database_of_new(lab):
    return yaml.safe_load(lab.inventory.read_text())["all"]["vars"]["migrate_destination"]["mongodb_database"]


def the_report_is_gone(lab):
    lab.report.rename(lab.report.with_suffix(".away"))
    return lambda: lab.report.with_suffix(".away").rename(lab.report)


def somebody_wrote(lab):
    database(lab).zones.insert_one({"_id": "after the backup"})
    return lambda: database(lab).zones.delete_one({"_id": "after the backup"})


def a_file_is_damaged(lab):
    victim = lab.backup / database(lab).name / "zones.bson"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return lambda: victim.write_bytes(whole)


def nothing(_lab):
    return lambda: None


@pytest.mark.parametrize(
    ("happens", "options", "code", "said"),
    [
        (by_somebody_else, {}, "retire.no_proof", "import is proven"),
        (the_report_is_gone, {}, "retire.no_proof", "no report"),
        (nothing, {"backup": ""}, "retire.no_backup", "no backup was named"),
        (somebody_wrote, {}, "retire.no_backup", "not the records that the old database has now"),
        (a_file_is_damaged, {}, "retire.no_backup", "zones.bson is not what was written"),
        (nothing, {"grace_days": 14}, "retire.grace", "0.0 days have passed"),
        (nothing, {"confirm": "another"}, "retire.unconfirmed", 'is "another"'),
        (nothing, {"identity_file": ""}, "retire.only_key", "KEK version 1"),
        (
            nothing, {"drop_database": True, "drop_confirm": "DATABASE", "off_host_backup": "BACKUP"},
            "retire.not_off_host", "is the machine of the old installation",
        ),
        (nothing, {"drop_database": True}, "retire.drop_unconfirmed", "expected the name of the database"),
    ],
)  # fmt: skip
def test_it_is_refused_and_nothing_changes_where_something_is_missing(lab, happens, options, code, said):
    words = {"DATABASE": database(lab).name, "BACKUP": str(lab.backup)}
    undo = happens(lab)
    before = left(lab)
    try:
        status, output = play(
            lab, "retire_old_install", *given(lab, **{k: words.get(v, v) for k, v in options.items()})
        )
        after = left(lab)
    finally:
        undo()

    assert status == 2, output[-2000:]
    assert f"{code}: " in output
    assert said in " ".join(output.split())
    assert changed(output) == {"old": 0, "new": 0}
    assert after == before


def test_check_tells_a_run_retires_and_a_second_changes_nothing(lab):
    """Last of this file: afterwards there is no secrets file any more."""
    archived = {"remove_secrets": True, "archive_recipients": [str(lab.identity.to_public())]}
    before = left(lab)
    checked_status, checked = play(lab, "retire_old_install", "--check", "--diff", *given(lab, **archived))
    after_check = left(lab)
    secrets = lab.files("old")[1].read_bytes()
    status, output = play(lab, "retire_old_install", "-vvv", "--diff", *given(lab, **archived))
    again_status, again = play(lab, "retire_old_install", *given(lab, **archived))

    (archive,) = (lab.folder / "backups" / "retired").iterdir()
    record = json.loads((lab.report.parent / "retired.json").read_text())
    assert (checked_status, status, again_status) == (0, 0, 0), checked[-2000:] + output[-2000:] + again[-2000:]
    assert after_check == before
    assert changed(checked)["old"] > 0
    assert changed(again) == {"old": 0, "new": 0}
    assert not lab.files("old")[1].exists()
    assert pyrage.decrypt(archive.read_bytes(), [lab.identity]) == secrets
    assert (record["backup"]["path"], record["backup"]["keys"]) == (str(lab.backup), {"1": ["backup"]})
    assert [lab.service("running", side).returncode for side in ("old", "new")] == [3, 0]
    assert "zones" in database(lab).list_collection_names()
    for line in secrets.decode().splitlines():
        assert line.partition("=")[2] not in checked + output + again or not line
    late_status, late = play(lab, "retire_old_install", *given(lab, **archived, drop_database=True))
    assert (late_status, "retire.no_secrets: " in late) == (2, True)
