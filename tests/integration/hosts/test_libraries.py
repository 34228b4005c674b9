# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real libraries on real hosts, over ssh as a login user with sudo: no route out, wheels from the controller."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.hosts import why_not
from tests.support.hosts.hosts import running
from tests.support.hosts.image import SUITES, wheels
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "hosts can be made")
NAMES = ("source-1", "destination-1")
ROLE = {"ansible.builtin.include_role": {"name": "certautopilot.ops.runtime"}}
# A module of ours that needs a library of those with compiled code, and whose file shows whether check mode wrote.
USED = {"certautopilot.ops.bundle_identity": {"path": "/var/lib/identity"}}
LEFT = {**ROLE, "vars": {"runtime_state": "left"}, "when": "ansible_check_mode"}


def play(hosts, folder, *arguments, tasks=(ROLE, USED, LEFT)):
    book = folder / "play.yml"
    book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
    line = [Path(sys.executable).parent / "ansible-playbook", "-i", hosts.inventory, *arguments, book]
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "1",
    }
    ended = subprocess.run(
        line, env={**os.environ, **settings}, capture_output=True, text=True, timeout=900, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def listed(hosts, name):
    """Return what the role could leave on a host."""
    told = hosts.run(
        name, ["sh", "-c", "ls -A /opt /etc/ansible/facts.d /tmp 2>/dev/null | grep -i certautopilot; true"]
    )
    return told.stdout.split()


@pytest.mark.parametrize(("suite", "names"), [("bookworm", NAMES), ("trixie", NAMES[:1])], ids=["bookworm", "trixie"])
def test_x76_hosts_without_a_route_out_get_the_libraries_from_the_controller(tmp_path, suite, names):
    brought = f"runtime_wheels={wheels(SUITES[suite])}"
    with running(tmp_path / "hosts", suite=suite, hosts=names) as hosts:
        checked = play(hosts, tmp_path, "--check", "--diff", "-e", brought)
        left = {name: listed(hosts, name) for name in names}
        first = play(hosts, tmp_path, "-e", brought)
        second = play(hosts, tmp_path)
        remembered = play(hosts, tmp_path, "-e", "certautopilot_runtime=false", tasks=(ROLE, USED))
        facts = {name: json.loads(hosts.read(name, "/etc/ansible/facts.d/certautopilot.fact")) for name in names}
        python = facts["source-1"]["python"]
        as_the_service = hosts.run(
            "source-1", [python, "-c", "import pkcs11, pymongo"], user="certautopilot", check=False
        )

    assert [status for status, _output in (checked, first, second, remembered)] == [0] * 4, checked[1] + first[1]
    assert changed(checked[1]) == changed(first[1]) == dict.fromkeys(names, 2)
    assert changed(second[1]) == changed(remembered[1]) == dict.fromkeys(names, 0)
    assert left == {name: [] for name in names}
    assert as_the_service.returncode == 0
    assert {fact["version"].rpartition(".")[0] for fact in facts.values()} == {SUITES[suite].python}


def test_x77_a_host_whose_only_python_is_too_old_is_refused_before_anything_is_done(tmp_path):
    with running(tmp_path / "hosts", suite="bullseye", hosts=NAMES[:1]) as hosts:
        status, output = play(hosts, tmp_path)
        left = listed(hosts, "source-1")

    assert status == 2
    assert "runtime.python_missing" in output
    assert "python3 is 3.9.2" in output
    assert "upgrade it to Debian 12" in output
    assert left == []
