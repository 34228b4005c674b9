# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role runtime decides on the controller: what a lock pins, which Python is fit, which wheels go to a host."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter import runtime
from ansible_collections.certautopilot.ops.plugins.module_utils._module import interpreter

LOCK = """\
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    --hash=sha256:00 \\
    --hash=sha256:11
PyYAML==6.0.4 \\
    --hash=sha256:22
"""
RELEASES = {
    "EL 9": 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\nPRETTY_NAME="Rocky Linux 9.6"',
    "RHEL 8": 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="8.10"\nPRETTY_NAME="Red Hat Enterprise Linux 8.10"',
    "jammy": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"',
    "bullseye": 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nID=debian\nVERSION_ID="11"',
    "bookworm": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"',
    "Leap": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"',
    "unknown": "ID=plan9",
    "none": "",
    "broken": 'ID="half\nVERSION_ID',
}
WAYS = {
    "EL 9": ["Rocky Linux 9.6", "dnf install python3.12"],
    "RHEL 8": ["dnf install python3.12"],
    "jammy": ["Ubuntu 22.04.5 LTS", "deadsnakes", "python3.12-venv", "uv python install"],
    "bullseye": ["upgrade it to Debian 12", "uv python install"],
    "bookworm": ["apt-get install python3 python3-venv"],
    "Leap": ["zypper install python312"],
    "unknown": ["uv python install"],
    "none": ["uv python install"],
    "broken": ["uv python install"],
}


def said(*pythons, release=""):
    """Return what a host prints. pythons: (name, real path, version, whether it can make an environment)."""
    names = ("name", "path", "version", "venv")
    lines = [runtime.SAID + json.dumps({**dict(zip(names, one, strict=True)), "machine": "x86_64"}) for one in pythons]
    return "\r\n".join([*lines, *RELEASES.get(release, "").split("\n")])  # WHY \r: a terminal puts it there


OLD = ("python3", "/usr/bin/python3.9", "3.9.18", True)
NEW = ("python3.12", "/usr/bin/python3.12", "3.12.7", True)


def test_a_lock_says_its_digest_and_what_it_pins():
    read = runtime.runtime_lock(LOCK)

    assert read == {
        "sha256": hashlib.sha256(LOCK.encode()).hexdigest(),
        "libraries": {"cffi": "2.1.1", "PyYAML": "6.0.4"},
    }


@pytest.mark.parametrize("text", ["", "pymongo>=4.9\n", "pymongo==4.9\n"])
def test_what_pins_nothing_by_hash_is_no_lock(text):
    with pytest.raises(AnsibleFilterError, match="no lock"):
        runtime.runtime_lock(text)


def test_the_first_python_that_is_new_enough_is_taken_and_each_is_named_once():
    newest = ("python3.13", "/usr/local/bin/python3.13", "3.13.1", True)
    again = ("/usr/bin/python3", "/usr/bin/python3.12", "3.12.7", True)

    found = runtime.runtime_pythons(said(OLD, NEW, newest, again, release="EL 9"))

    assert found["fit"] == ["/usr/bin/python3.12", "/usr/local/bin/python3.13"]
    assert (found["python"], found["version"], found["machine"]) == ("/usr/bin/python3.12", "3.12.7", "x86_64")
    assert (found["missing"], found["hint"]) == ("", "")
    assert found["found"].startswith("python3 is 3.9.18, python3.12 is 3.12.7")


@pytest.mark.parametrize("release", RELEASES)
def test_x77_where_all_are_too_old_the_package_for_this_distribution_is_named(release):
    found = runtime.runtime_pythons(said(OLD, release=release))

    assert (found["missing"], found["python"], found["fit"]) == ("python", "", [])
    assert found["found"] == "python3 is 3.9.18"
    assert [way for way in WAYS[release] if way not in found["hint"]] == []
    assert "runtime_pythons" in found["hint"]


def test_a_host_without_any_python_is_told_as_well():
    found = runtime.runtime_pythons(said(release="bookworm"))

    assert (found["missing"], found["found"]) == ("python", "")
    assert "apt-get install python3" in found["hint"]


@pytest.mark.parametrize(
    ("release", "way"),
    [
        ("bookworm", "apt-get install python3.11-venv"),
        ("jammy", "apt-get install python3.11-venv"),
        ("EL 9", "-m venv"),
    ],
)
def test_x76_a_python_that_cannot_make_an_environment_is_told_from_none(release, way):
    without = ("python3", "/usr/bin/python3.11", "3.11.2", False)

    found = runtime.runtime_pythons(said(without, OLD, release=release))

    assert (found["missing"], found["python"]) == ("venv", "")
    assert way in found["hint"]


def test_one_that_can_is_taken_before_one_that_cannot():
    without = ("python3", "/usr/bin/python3.11", "3.11.2", False)

    assert runtime.runtime_pythons(said(without, NEW))["python"] == "/usr/bin/python3.12"


def test_the_floor_is_that_of_the_modules():
    assert runtime.NEEDED == interpreter.NEEDED


WHEELS = [
    "/w/asn1crypto-1.5.1-py2.py3-none-any.whl",
    "/w/cryptography-50.0.2-cp311-abi3-manylinux_2_28_x86_64.whl",
    "/w/cryptography-50.0.2-cp311-abi3-manylinux_2_28_aarch64.whl",
    "/w/pymongo-4.20.1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "/w/pymongo-4.20.1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "/w/pymongo-4.9.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "/w/python_pkcs11-0.10.1-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "/w/left-1.0-py3-none-any.whl",
    "/w/notes.txt",
]
LIBRARIES = {"asn1crypto": "1.5.1", "cryptography": "50.0.2", "pymongo": "4.20.1", "python-pkcs11": "0.10.1"}


@pytest.mark.parametrize(
    ("python", "machine", "fit", "missing"),
    [
        ("3.12.7", "x86_64", [0, 1, 4, 6], []),
        ("3.11.2", "x86_64", [0, 1, 3], ["python-pkcs11 0.10.1"]),
        ("3.13.0", "x86_64", [0, 1], ["pymongo 4.20.1", "python-pkcs11 0.10.1"]),
        ("3.12.7", "aarch64", [0, 2], ["pymongo 4.20.1", "python-pkcs11 0.10.1"]),
    ],
)
def test_only_wheels_that_a_host_can_use_go_there_and_what_is_missing_is_named(python, machine, fit, missing):
    found = runtime.runtime_wheels(WHEELS, LIBRARIES, python, machine)

    assert found == {"fit": [WHEELS[place] for place in fit], "missing": missing}
