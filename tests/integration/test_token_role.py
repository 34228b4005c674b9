# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role token by ansible-playbook on this machine: SoftHSM2 from nothing, and clients of vendors that are not there.

PyKCS11 looks at what was made. Both PINs are looked for in everything that was printed or left in argv.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.modules.test_no_secret_shows import leaks
from tests.integration.token import Token
from tests.support import other_user, softhsm
from tests.support.processes import REPOSITORY, repository_environment

LABEL = "made-by-role"


class Place:
    """A folder with both PINs and a playbook that runs the role and writes down what it found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens, self.conf, self.found = folder / "tokens", folder / "etc" / "softhsm2.conf", folder / "found.json"
        self.pins = {name: f"{name}-{secrets.token_hex(8)}" for name in ("pin", "so-pin")}
        for name, pin in self.pins.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(f"{pin}\n")
        me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        self.options = {
            "token_label": LABEL,
            "token_make": True,
            "token_pin_file": str(folder / "pin"),
            "token_so_pin_file": str(folder / "so-pin"),
            "token_module_path": softhsm.module_path(),
            "token_softhsm_config": str(self.conf),
            "token_softhsm_folder": str(self.tokens),
            "token_softhsm_owner": me,
            "token_softhsm_group": group,
        }

    def play(
        self, *arguments: str, python: str = sys.executable, **options: object
    ) -> subprocess.CompletedProcess[str]:
        shown = (
            "{{ {'serial': certautopilot_token_serial | default(''), "
            "'changed': (token_made | default({})) is changed} | to_json }}"
        )
        keep = {"ansible.builtin.copy": {"dest": str(self.found), "content": shown}, "check_mode": False, "diff": False}
        tasks = [
            {"name": "The role", "ansible.builtin.include_role": {"name": "certautopilot.ops.token"}},
            {"name": "Keep what was found", **keep, "changed_when": False},
        ]
        given = {"certautopilot_service_manager": "command", "ansible_python_interpreter": python}
        given |= {"ansible_connection": "local", **self.options, **options}
        document = [{"name": "Token", "hosts": "localhost", "gather_facts": False, "vars": given, "tasks": tasks}]
        book = self.folder / "play.yml"
        book.write_text(yaml.safe_dump(document))
        settings = self.folder / "ansible.cfg"
        settings.touch()
        environment = {
            **(repository_environment() if python == sys.executable else other_user.libraries()),
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections"),
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        environment.pop("SOFTHSM2_CONF", None)
        self.found.unlink(missing_ok=True)
        return subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", *arguments, book],
            env=environment, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for root in (self.tokens, self.conf.parent) if root.exists()
            for path in root.rglob("*") if path.is_file()
        }  # fmt: skip

    def token(self) -> dict[str, object]:
        return json.loads(self.found.read_text())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_from_nothing_to_a_token_a_second_run_changes_nothing_and_no_pin_is_shown(place):
    checked = place.play("--check", "--diff")
    untouched = place.files() == {}
    made = place.play("-vvv", "--diff")
    found, files = place.token(), place.files()
    again = place.play("--check", "--diff")
    real = place.play("--diff")

    assert [done.returncode for done in (checked, made, again, real)] == [0] * 4, checked.stdout + made.stdout[-3000:]
    assert untouched
    # The configuration and both folders; what a library without them would say nobody can foretell.
    assert "changed=3" in checked.stdout
    assert [("changed=0" in done.stdout, place.files() == files) for done in (again, real)] == [(True, True)] * 2
    [token] = softhsm.call("tokens", place.folder, LABEL, "")
    assert (found["serial"], found["changed"]) == (token["serial"], True)
    assert place.token() == {"serial": token["serial"], "changed": False}
    assert oct(place.conf.stat().st_mode & 0o777) == "0o640"
    assert {path.stat().st_mode & 0o077 for path in place.tokens.rglob("*") if path.is_file()} == {0}
    printed = "".join(done.stdout + done.stderr for done in (checked, made, again, real))
    assert leaks(printed, {name: pin.encode() for name, pin in place.pins.items()}) == []
    # The user PIN is the one of the file.
    opened = Token(str(place.conf), LABEL).oracle("keys", pin=place.pins["pin"])
    assert opened == []


def test_x71_the_token_is_the_services_and_its_configuration_is_read_by_the_group_of_the_package():
    try:
        group = grp.getgrnam("softhsm")
    except KeyError:
        pytest.skip("no group softhsm, which Debian's package makes")
    with other_user.another() as service:
        place = Place(service.folder)
        options = {"token_service_user": service.name, "token_softhsm_group": group.gr_name}

        made = place.play(python=service.python, **options)
        again = place.play(python=service.python, **options)

        members = grp.getgrnam("softhsm").gr_mem
        files = [path.stat() for path in place.tokens.rglob("*")]
        config, folder = place.conf.stat(), place.tokens.stat()
        readable = service.can("cat", str(place.conf))
    assert (made.returncode, again.returncode) == (0, 0), made.stdout[-1500:] + again.stdout[-1500:]
    assert "changed=0" in again.stdout
    assert {file.st_uid for file in files} == {service.uid}
    assert len(files) > 2
    assert (folder.st_uid, folder.st_mode & 0o777) == (service.uid, 0o700)
    assert (config.st_uid, config.st_gid, config.st_mode & 0o777) == (0, group.gr_gid, 0o640)
    assert (service.name in members, readable) == (True, True)


def test_a_configuration_for_other_tokens_and_a_label_that_is_there_twice_are_refused_and_left(place):
    place.conf.parent.mkdir()
    place.conf.write_text("directories.tokendir = /somewhere/else\n")
    elsewhere = place.play()
    kept = place.conf.read_text()
    place.conf.write_text(f"directories.tokendir = {place.tokens}\n")
    place.tokens.mkdir()
    serials = [Token(str(place.conf), LABEL).oracle("init") for _token in range(2)]
    before = place.files()
    twice = place.play()
    after = place.files()
    named = place.play(token_serial=serials[1])
    only_asked = place.play("--check", token_serial=serials[1], token_make=False, token_so_pin_file="",
                            token_environment={"SOFTHSM2_CONF": str(place.conf)})  # fmt: skip

    ended = [done.returncode for done in (elsewhere, twice, named, only_asked)]
    assert ended == [2, 2, 0, 0], named.stdout[-1500:] + only_asked.stdout[-1500:]
    assert "token.config_differs" in elsewhere.stdout
    assert kept == "directories.tokendir = /somewhere/else\n"
    assert "pkcs11.token_ambiguous" in twice.stdout
    assert all(serial in twice.stdout for serial in serials)
    assert (before == after, place.token()["serial"]) == (True, serials[1])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"token_family": "without_aes_gcm"}, "token.family_unfit"),
        ({"token_family": "thales_luna"}, "token.made_elsewhere"),
        ({"token_so_pin_file": ""}, "token.pin_missing"),
        ({"token_softhsm_group": "no-such-group"}, "token.no_group"),
        ({"token_family": "utimaco", "token_make": False, "token_module_path": ""}, "token.module_missing"),
        (
            {"token_family": "thales_luna", "token_make": False, "token_client_files": {"configuration": "/none/here"}},
            "token.client_file_missing",
        ),
        (
            {"token_family": "azure_cloud_hsm", "token_make": False},
            "token.pin_form",
        ),
    ],
)
def test_what_is_missing_is_named_before_a_library_is_asked(place, options, code):
    done = place.play(**options)

    assert done.returncode == 2
    assert code in done.stdout
    assert leaks(done.stdout + done.stderr, {name: pin.encode() for name, pin in place.pins.items()}) == []
    assert place.files() == {}
