# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a source installation with 500 records is moved from env into an HSM, refused back, rotated, and proven.

python -m tests.support.demo            exit status 0 only if every record was proven equal
python -m tests.support.demo --clean    end its processes and remove its folder
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from .lab import Lab
from .processes import REPOSITORY, repository_environment

FOLDER = REPOSITORY / ".demo"
RECORDS = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.support.demo")
    parser.add_argument("--clean", action="store_true", help="end what an earlier run left, and do nothing else")
    arguments = parser.parse_args()
    lab = Lab(FOLDER)
    lab.down()  # an earlier demo's
    if arguments.clean:
        return 0
    try:
        return show(lab)
    except KeyboardInterrupt:
        return 130
    finally:
        lab.stop()


def show(lab: Lab) -> int:
    """Run the demo; return its exit status."""
    started = time.monotonic()
    say(f"a database, a SoftHSM2 token and an env installation with {RECORDS} records in 3 projects, in {lab.folder}")
    lab.up(records=RECORDS, with_source=True)

    say("migrate: ansible-playbook certautopilot.ops.migrate")
    if play(lab, "migrate"):
        return 1

    say("an env process against the new database is refused:")
    refusal = start_env_against_new(lab)
    print(f"  exit status {refusal.returncode}: {refusal.stderr.strip()}")
    if refusal.returncode == 0 or "KEK provider mismatch" not in refusal.stderr:
        print("  expected the vendor's refusal")
        return 1

    say("rotate the HSM key 1 -> 2: ansible-playbook certautopilot.ops.rotate")
    if play(lab, "rotate", "-e", '{"rotate_to_version": 2, "rotate_make_key": true}'):
        return 1

    say("the oracle opens every record of both sides, without the collection's code")
    report = oracle(lab)
    print(f"  {report['opened']} of {report['envelopes']} envelopes opened, {len(report['reused'])} with reused bytes")
    migrated = json.loads(lab.report.read_text())
    print(f"  {time.monotonic() - started:.0f} s; remove everything with: make demo-clean")
    print(f"report: {lab.report}")
    lost = len(report["lost"]) + len(report["different"])
    way = f"{migrated['from']['provider']} -> {migrated['to']['provider']}"
    print(f"demo: {report['records']} records migrated {way}, {report['equal']} equal, {lost} lost")
    return 0 if report["holds"] and report["records"] == RECORDS == int(migrated["equal"]) else 1


def play(lab: Lab, name: str, *more: str) -> int:
    """Run one playbook of the collection on the lab, its output as Ansible prints it; return its exit status."""
    command = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        lab.inventory,
        f"certautopilot.ops.{name}",
        *more,
    ]
    return subprocess.run(command, env=ansible_environment(lab), check=False).returncode


def ansible_environment(lab: Lab) -> dict[str, str]:
    """Return an environment in which ansible-playbook finds this checkout's collection and no settings of the user."""
    settings = lab.folder / "ansible.cfg"
    settings.touch()
    return {
        **repository_environment(),
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections"),
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": str(lab.folder / "ansible"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_DISPLAY_OK_HOSTS": "true",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_INJECT_FACT_VARS": "false",
    }


def start_env_against_new(lab: Lab) -> subprocess.CompletedProcess[str]:
    """Start the stand-in with the source's KEK but the destination's database, as an operator might by mistake."""
    config, _secrets = lab.files("new")
    document: dict[str, Any] = yaml.safe_load(config.read_text())
    document["encryption"] = {"provider": "env"}
    mistaken = lab.folder / "mistake.yaml"
    mistaken.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "tests.support.service", "serve", "--config", str(mistaken)]
    command += ["--secrets", str(lab.files("old")[1])]
    return subprocess.run(
        command, env=repository_environment(), capture_output=True, text=True, check=False, timeout=60
    )


def oracle(lab: Lab) -> dict[str, Any]:
    """Return the oracle's report on source and destination."""
    command = [sys.executable, "-m", "tests.support.oracle", "compare"]
    for side, name in (("old", "--source"), ("new", "--destination")):
        command += [name, *map(str, lab.files(side))]
    environment = repository_environment({"SOFTHSM2_CONF": str(lab.softhsm_conf)})
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return dict(json.loads(ended.stdout))


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
