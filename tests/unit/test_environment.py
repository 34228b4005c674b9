# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make env` on machines that lack something: PATH holds only what a test puts there, apt-get is a script of ours."""

from __future__ import annotations

import pytest

from tests.support import repository

environment = repository.script("environment")
commands = repository.script("commands")

REQUIRED = {"git", "make", "openssl", "ss"}
OPTIONAL = {"age", "cc", "gcc"}


class Machine:
    """A folder that is the whole of PATH."""

    def __init__(self, folder, monkeypatch):
        self.path, self.log = folder / "bin", folder / "apt.log"
        self.path.mkdir()
        self.log.touch()
        (folder / "module.so").touch()
        monkeypatch.setenv("PATH", str(self.path))
        monkeypatch.setenv("SOFTHSM2_MODULE", str(folder / "module.so"))
        monkeypatch.setattr(environment.os, "geteuid", lambda: 0)
        only_commands = tuple(need for need in commands.OPTIONAL if not need.files)  # the others look outside of PATH
        monkeypatch.setattr(commands, "OPTIONAL", only_commands)

    def has(self, *names, content="#!/bin/sh\n"):
        for name in names:
            (self.path / name).write_text(content)
            (self.path / name).chmod(0o755)

    def apt(self, action):
        """Put an apt-get there that notes its arguments and does `action`."""
        self.has("apt-get", content=f'#!/bin/sh\necho "$*" >>{self.log}\n{action}\n')

    @property
    def asked(self):
        """The packages of each call to install, in order."""
        installs = [line.split("--no-install-recommends ")[1] for line in self.log.read_text().splitlines()
                    if " install " in line]  # fmt: skip
        return [line.split() for line in installs]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def test_a_machine_that_has_all_is_asked_nothing(machine):
    machine.has(*REQUIRED, *OPTIONAL)
    machine.apt("exit 1")

    environment.provide_commands()

    assert machine.asked == []


@pytest.mark.parametrize("lacking", sorted(REQUIRED))
def test_a_required_command_that_cannot_be_had_ends_with_one_sentence(machine, lacking):
    machine.has(*REQUIRED - {lacking}, *OPTIONAL)
    machine.apt("exit 100")

    with pytest.raises(environment.SetupError) as failed:
        environment.provide_commands()

    (need,) = (need for need in commands.REQUIRED if lacking in need.commands)
    assert str(failed.value) == f"apt-get could not install {need.packages[0]}; install it by hand and repeat"


def test_a_required_package_without_its_command_ends_with_one_sentence(machine):
    machine.has(*REQUIRED - {"ss"}, *OPTIONAL)
    machine.apt("exit 0")

    with pytest.raises(environment.SetupError, match=r"^iproute2 is installed, but not found: ss$"):
        environment.provide_commands()


def test_a_module_that_a_variable_names_in_vain_is_named(machine, monkeypatch):
    machine.has(*REQUIRED, *OPTIONAL)
    machine.apt("exit 0")
    monkeypatch.setenv("SOFTHSM2_MODULE", "/nowhere/hsm.so")

    with pytest.raises(environment.SetupError, match=r"not found: /nowhere/hsm\.so \(from SOFTHSM2_MODULE\)$"):
        environment.provide_commands()


def test_an_optional_command_that_cannot_be_had_is_told_and_stops_nothing(machine, capsys):
    machine.has(*REQUIRED, "cc", "gcc")
    machine.apt("exit 100")

    environment.provide_commands()

    assert "could not install age" in capsys.readouterr().out


def test_an_optional_package_that_nobody_has_does_not_stop_a_required_one(machine):
    # given: an archive that knows no package `age`
    machine.has(*REQUIRED - {"git"}, "cc", "gcc")
    machine.apt(f'case "$*" in *age*) exit 100 ;; esac\n/bin/cp {machine.path}/make {machine.path}/git')

    environment.provide_commands()

    assert machine.asked[0] == ["git"]
    assert machine.asked[1:] == [["age"], ["age"]]  # a second time after `apt-get update`


def test_without_apt_the_sentence_names_what_to_install(machine):
    machine.has(*REQUIRED - {"git", "ss"}, *OPTIONAL)

    with pytest.raises(environment.SetupError, match=r"no apt-get; install git iproute2 in this system's own way"):
        environment.provide_commands()


def test_a_user_without_sudo_is_told_what_root_would_type(machine, monkeypatch):
    machine.has(*REQUIRED - {"git"}, *OPTIONAL)
    machine.apt("exit 0")
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)

    with pytest.raises(environment.SetupError, match=r"as root: apt-get install git$"):
        environment.provide_commands()
