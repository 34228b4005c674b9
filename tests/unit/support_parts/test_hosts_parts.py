# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test hosts decide before anything boots: sources, podman's settings, libraries, who is skipped and why."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.support import repository
from tests.support.examples import prepared
from tests.support.hosts import apt_sources, available, database_host, engine, image
from tests.support.hosts.hosts import Hosts

scenarios = repository.script("scenarios")

STANZAS = """\
# text
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example
Suites: bookworm
Components: main
"""
LINES = """\
# deb http://off.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main
deb [signed-by=/k.gpg] http://mirror.example/debian bookworm-updates main
deb http://mirror.example/security bookworm-security main
deb-src http://off.example bookworm main
"""
OTHERS = "deb http://vendor.example/tool tool-bookworm main\ndeb http://vendor.example/pg bookworm-pgdg main\n"
WANTED = [
    "deb [signed-by=/k.gpg] http://mirror.example/debian trixie main",
    "deb [signed-by=/k.gpg] http://mirror.example/debian trixie-updates main",
    "deb http://mirror.example/security trixie-security main",
]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine's /etc, with sources of vendors beside Debian's."""
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "apt" / "sources.list.d" / "vendor.list").write_text(OTHERS)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setattr(apt_sources, "FOLDER", tmp_path / "apt")
    monkeypatch.setattr(apt_sources, "OS_RELEASE", tmp_path / "os-release")
    return tmp_path


@pytest.mark.parametrize(("name", "content"), [("debian.sources", STANZAS), ("debian.list", LINES)])
def test_packages_come_from_the_mirror_of_this_machine_in_either_notation(machine, name, content):
    (machine / "apt" / "sources.list.d" / name).write_text(content)

    (path,) = apt_sources.for_suite("trixie", machine)

    assert (machine / "sources.list").read_text().splitlines() == WANTED
    assert path == str(machine / "sources.list")


@pytest.mark.parametrize("release", ["ID=ubuntu\nVERSION_CODENAME=noble\n", "ID=debian\nVERSION_CODENAME=sid\n"])
def test_a_machine_without_a_debian_mirror_leaves_the_choice_to_mmdebstrap(machine, release):
    (machine / "os-release").write_text(release)

    assert apt_sources.for_suite("trixie", machine) == []


@pytest.mark.parametrize(
    ("unified", "there", "chosen"),
    [
        (True, ["runc", "crun"], "crun"),
        (False, ["runc", "crun"], "runc"),
        (True, ["runc"], "runc"),
        (False, ["crun"], "crun"),
    ],
)
def test_the_runtime_is_chosen_by_the_cgroups_of_this_machine(monkeypatch, tmp_path, unified, there, chosen):
    monkeypatch.setenv("CERTAUTOPILOT_HOSTS_CACHE", str(tmp_path))
    monkeypatch.setattr(engine, "_run_folder", lambda: tmp_path)
    monkeypatch.setattr(engine, "runtimes", lambda: there)

    text = engine._settings(unified=unified, may_raise=True)

    assert f'runtime = "{chosen}"' in text
    assert "ulimits" not in text
    assert "default_ulimits" in engine._settings(unified=unified, may_raise=False)


@pytest.mark.parametrize(
    "suite", [suite for suite in image.SUITES.values() if suite.python], ids=lambda suite: suite.name
)
def test_the_lock_has_every_library_of_the_hosts_by_hash(suite):
    lines = image.locked(suite.python).splitlines()

    assert sorted(line.partition("==")[0].lower() for line in lines) == sorted(image.LIBRARIES)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_sets_in_other_folders_have_other_names_and_other_networks(tmp_path):
    sets = [Hosts(tmp_path / str(number)) for number in range(3)]

    assert len({one.name for one in sets}) == len({one.network.subnet for one in sets}) == 3


def test_what_is_true_of_hosts_is_not_said_of_the_controller(tmp_path):
    hosts = Hosts(tmp_path, hosts=("source-1", "destination-1", "database-1", "cap1"))

    inventory = hosts.access._inventory({"ansible_python_interpreter": "/x"}, {"source-1": {"y": 1}})["all"]

    assert set(inventory) == {"children"}
    assert set(inventory["children"]["test_hosts"]["children"]) == {"source", "destination", "database", "others"}
    assert set(inventory["children"]["certautopilot"]["hosts"]) == {"destination-1"}
    assert inventory["children"]["test_hosts"]["vars"]["ansible_become"] is True
    assert inventory["children"]["source"]["hosts"]["source-1"]["y"] == 1
    assert "y" not in inventory["children"]["destination"]["hosts"]["destination-1"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", "bookworm bookworm bookworm"),
        ("trixie", "trixie trixie trixie"),
        ("bookworm,new=trixie", "bookworm trixie trixie"),
        ("new=trixie", "bookworm trixie trixie"),
        ("trixie,new=bookworm,new2=trixie", "trixie bookworm trixie"),
    ],
)
def test_releases_are_mixed_by_how_names_begin(said, found):
    suites = image.suites_of(("old1", "new1", "new2"), said)

    assert " ".join(suite.name for suite in suites.values()) == found


@pytest.mark.parametrize("said", ["woody", "bookworm,new=", "bookworm,,trixie"])
def test_a_release_that_is_not_known_is_refused_by_its_name(tmp_path, said):
    with pytest.raises(ValueError, match="is no suite, expected one of bookworm, bullseye, trixie"):
        Hosts(tmp_path, suite=said)


def test_hosts_of_no_release_said_are_of_that_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTS_SUITE", "bookworm,destination=trixie")

    unsaid, said = Hosts(tmp_path), Hosts(tmp_path, suite="bullseye")
    assert image.chosen("bookworm,new=trixie") == "bookworm,destination=trixie"
    monkeypatch.delenv("HOSTS_SUITE")
    assert image.chosen("bookworm,new=trixie") == "bookworm,new=trixie"

    assert [unsaid.suites[name].name for name in ("source-1", "destination-2")] == ["bookworm", "trixie"]
    assert {suite.name for suite in said.suites.values()} == {"bullseye"}


def test_a_set_with_a_host_for_the_database_has_it_there_and_the_others_on_the_controller(tmp_path):
    with_one, without = Hosts(tmp_path / "1", hosts=("cap1", "database-1")), Hosts(tmp_path / "2", hosts=("cap1",))

    assert with_one.database_uri == f"mongodb://{with_one.network.address(1)}:27017/"
    assert without.database_uri == f"mongodb://{without.network.controller}:27017/"
    assert (with_one.nodes, without.nodes) == (("cap1",), ("cap1",))


@pytest.mark.parametrize(
    "suite", [suite for suite in image.SUITES.values() if suite.python], ids=lambda suite: suite.name
)
def test_the_lock_has_every_library_of_the_database_by_hash(suite):
    lines = image.locked(suite.python, database_host.LIBRARIES).splitlines()

    assert sorted(line.partition("==")[0].lower() for line in lines) == sorted(database_host.LIBRARIES)


def test_a_host_whose_python_is_too_old_for_the_database_is_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"python3 of bullseye is too old for .*: give that host another suite"):
        database_host.mounted(image.SUITES["bullseye"])


def test_scenarios_with_hosts_are_skipped_with_the_reason_and_the_others_run(monkeypatch, capsys):
    monkeypatch.setattr(scenarios, "why_no_hosts", lambda: "no podman here")
    monkeypatch.setattr(scenarios, "run_scenario", lambda name: (0, 1.0))

    assert scenarios.main(["hosts_x", "local"]) == 0
    assert re.search(r"skip +hosts_x +no podman here", capsys.readouterr().out)


def test_a_run_that_skipped_everything_has_not_passed(monkeypatch):
    monkeypatch.setattr(scenarios, "why_no_hosts", lambda: "no podman here")

    assert scenarios.main(["hosts_x"]) == 1


def test_a_missing_tool_is_named_with_the_target_that_installs_it(monkeypatch):
    monkeypatch.setattr(available.os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "podman" else f"/bin/{name}")

    reason = available.why_not.__wrapped__()

    assert "podman" in reason
    assert "make hosts-tools" in reason


def test_beside_an_operators_inventory_stands_only_how_hosts_are_reached_and_what_they_lack(tmp_path):
    hosts = Hosts(tmp_path, hosts=("cap1.example.com",))

    said = hosts.access._reach({}, {"cap1.example.com": {"runtime_wheels": "/w"}})["all"]

    assert set(said) == {"vars"}
    assert set(said["vars"]) == {
        "ansible_ssh_executable", "ansible_scp_executable", "ansible_sftp_executable", "ansible_control_path_dir",
        "runtime_wheels",
    }  # fmt: skip


def test_beside_it_hosts_are_named_where_what_they_lack_differs(tmp_path):
    lacking = {name: {"runtime_wheels": f"/{name}"} for name in ("old1", "new1")}

    said = Hosts(tmp_path, hosts=("old1", "new1")).access._reach({}, lacking)["all"]

    assert said["hosts"] == lacking
    assert "runtime_wheels" not in said["vars"]


def names(pattern):
    return sorted({match[1] for name in repository.files() if (match := re.fullmatch(pattern, name))})


def test_every_example_is_a_scenario_with_hosts_and_every_scenario_with_hosts_an_example():
    scenarios_with_hosts = [name for name in names(r"molecule/(\w+)/molecule\.yml") if name.startswith("hosts_")]

    assert scenarios_with_hosts == [f"hosts_{example}" for example in names(r"docs/examples/(\w+)/inventory\.yml")]


def test_scenarios_with_hosts_differ_in_their_names_only():
    texts = {
        repository.text(f"molecule/{name}/molecule.yml").replace(name.removeprefix("hosts_"), "NAME")
        for name in names(r"molecule/(\w+)/molecule\.yml") if name.startswith("hosts_")
    }  # fmt: skip

    assert len(texts) == 1
    assert "docs/examples/NAME/inventory.yml" in texts.pop()


def test_a_scenario_runs_the_playbook_that_its_example_is_named_for():
    astray = [
        example for example in names(r"docs/examples/(\w+)/inventory\.yml")
        if f"certautopilot.ops.{prepared.playbook_of(example)}\n"
        not in repository.text(f"molecule/hosts_{example}/converge.yml")
    ]  # fmt: skip

    assert astray == []


def test_each_example_of_a_migration_says_what_its_source_is():
    assert sorted(prepared.SOURCES) == [
        example for example in names(r"docs/examples/(\w+)/inventory\.yml") if example.startswith("migrate_")
    ]  # fmt: skip


def test_what_nothing_may_print_is_found_in_both_files():
    secret, pin = "a" * 64, "0123456789abcdef"
    text = (
        f"# made by\nX_DATABASE_URI=mongodb://h/\nX_ENCRYPTION_ENV_KEK_V1={secret}\nX_JWT_SECRET='b-{secret}'\n{pin}\n"
    )

    assert prepared.A_SECRET.findall(text) == [secret, f"b-{secret}", pin]
