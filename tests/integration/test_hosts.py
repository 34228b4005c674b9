# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test hosts are what they are taken for: machines with an operator's way in, the product's unit, no way out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import Hosts, why_not
from tests.support.hosts.engine import podman
from tests.support.hosts.hosts import PRODUCT_PYTHON, running
from tests.support.hosts.network import PLACES

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(why_not()), reason=why_not())]

SANDBOX = ("User", "ProtectSystem", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateTmp", "LimitCORE", "UMask")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hosts"), hosts=("source-1", "destination-1")) as up:
        yield up


def ssh(hosts, host, command, timeout=60):
    line = [hosts.folder / "bin" / "ssh", "-o", "ConnectTimeout=3", host, command]  # runs: ssh
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)  # runs: ssh


def in_sandbox(hosts, command):
    """Run a command under the settings of the product's unit."""
    shown = hosts.run("source-1", ["systemctl", "show", "certautopilot", *(f"--property={name}" for name in SANDBOX)])
    given = [f"--property={line}" for line in shown.stdout.split()]
    return hosts.run("source-1", ["systemd-run", "--wait", "--pipe", "--quiet", *given, *command], check=False)


def test_an_operator_logs_in_as_himself_and_becomes_root_by_sudo_without_a_password(hosts):
    answer = ssh(hosts, "source-1", "id -un; hostname; sudo -n id -un; ps -o comm= -p 1")

    assert answer.stdout.split() == ["deploy", "source-1", "root", "systemd"]


def test_root_and_the_products_user_cannot_log_in(hosts):
    refused = {user: ssh(hosts, f"{user}@source-1", "true").returncode for user in ("deploy", "root", "certautopilot")}

    assert refused == {"deploy": 0, "root": 255, "certautopilot": 255}
    assert ":/usr/sbin/nologin" in hosts.run("source-1", ["getent", "passwd", "certautopilot"]).stdout


def test_the_product_is_installed_and_neither_enabled_nor_started(hosts):
    shown = hosts.run(
        "source-1", ["systemctl", "show", "certautopilot", "--property=UnitFileState,ActiveState,FragmentPath"]
    )
    groups = hosts.run("source-1", ["id", "-Gn", "certautopilot"]).stdout.split()

    assert set(shown.stdout.split()) == {
        "UnitFileState=disabled", "ActiveState=inactive", "FragmentPath=/etc/systemd/system/certautopilot.service",
    }  # fmt: skip
    assert groups == ["certautopilot", "softhsm"]


def test_the_settings_of_the_unit_hold_and_are_not_left_out_in_silence(hosts):
    written = in_sandbox(hosts, ["touch", "/etc/certautopilot/x"])
    executable = in_sandbox(hosts, ["python3", "-c", "import mmap; mmap.mmap(-1, 4096, prot=7)"])
    plain = hosts.run("source-1", ["python3", "-c", "import mmap; mmap.mmap(-1, 4096, prot=7)"])

    assert "Read-only file system" in written.stderr
    assert "PermissionError" in executable.stderr
    assert plain.returncode == 0


def test_no_host_has_a_way_out_and_each_reaches_the_other_and_the_database(hosts):
    program = f"import pymongo; print(pymongo.MongoClient('{hosts.database_uri}').admin.command('ping')['ok'])"
    out = hosts.run("source-1", ["ip", "route", "get", "192.0.2.1"], check=False)
    ping = hosts.run("source-1", [PRODUCT_PYTHON, "-c", program])
    key = hosts.run("source-1", ["ssh-keyscan", "-T", "5", "destination-1"])

    assert "unreachable" in out.stderr
    assert ping.stdout.strip() == "1.0"
    assert "ssh-ed25519" in key.stdout


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_reboot_is_a_boot_of_its_own_that_keeps_files_and_journal(hosts, power_cut):
    def boot_id():
        return hosts.read("destination-1", "/proc/sys/kernel/random/boot_id").strip()

    before = boot_id()
    hosts.run("destination-1", ["sh", "-c", "touch /run/gone /var/lib/kept"])

    hosts.reboot("destination-1", power_cut=power_cut)

    boots = hosts.run("destination-1", ["journalctl", "--list-boots", "--no-pager"]).stdout
    left = hosts.run("destination-1", ["sh", "-c", "ls /run/gone /var/lib/kept"], check=False).stdout
    assert boot_id() != before
    assert before.replace("-", "") in boots
    assert left.split() == ["/var/lib/kept"]
    assert ssh(hosts, "destination-1", "true").returncode == 0


@pytest.mark.parametrize(("befalls", "mended"), [("pause", "unpause"), ("unplug", "plug")])
def test_a_host_that_is_frozen_or_unplugged_cannot_be_reached_until_it_is_back(hosts, befalls, mended):
    getattr(hosts, befalls)("source-1")
    reached = ssh(hosts, "source-1", "true").returncode
    getattr(hosts, mended)("source-1")

    assert reached == 255
    assert ssh(hosts, "source-1", "true").returncode == 0


def test_a_small_disk_is_full_soon(hosts):
    hosts.small_disk("source-1", "/srv/small")

    written = hosts.run("source-1", ["dd", "if=/dev/zero", "of=/srv/small/x", "bs=1k", "count=100"], check=False)

    assert "No space left on device" in written.stderr


def test_the_database_has_a_host_of_its_own_and_a_power_cut_takes_nothing_that_was_written(tmp_path):
    name = "database-1"
    with running(tmp_path / "set", hosts=("source-1", name)) as up:

        def client(then):
            program = f"import pymongo; c = pymongo.MongoClient('{up.database_uri}').x.y; print({then})"
            return up.run("source-1", [PRODUCT_PYTHON, "-c", program]).stdout.strip()

        shown = up.run(name, ["systemctl", "show", "secantusdb", "--property=User,ActiveState,UnitFileState"]).stdout
        client("c.insert_one({'_id': 1})")
        kept = []
        for power_cut in (True, False):
            up.reboot(name, power_cut=power_cut)
            kept.append(client("c.count_documents({})"))
        found = up.run("source-1", ["getent", "hosts", "database"]).stdout.split()
        on_controller = (up.folder / "db").exists()

    assert set(shown.split()) == {"User=secantusdb", "ActiveState=active", "UnitFileState=enabled"}
    assert kept == ["1", "1"]
    assert found[1:] == [name, "database"]
    assert not on_controller


def test_a_token_is_found_where_the_product_looks_and_is_the_services(hosts):
    hosts.token("destination-1", "here", "1234")

    shown = hosts.run("destination-1", ["softhsm2-util", "--show-slots"], user="certautopilot").stdout
    owners = hosts.run("destination-1", ["find", "/var/lib/softhsm/tokens", "-type", "f", "-printf", "%u %m\n"]).stdout
    assert "here" in shown
    assert set(owners.splitlines()) == {"certautopilot 600"}


def test_two_sets_run_side_by_side_and_one_leaves_nothing(hosts, tmp_path):
    links = Path("/sys/class/net").iterdir

    ours = sorted(links())
    with running(tmp_path / "other", hosts=("source-1",)) as other:
        name, sockets = other.name, other.access.sockets
        reached = other.run("source-1", ["ip", "route", "get", hosts.network.address(0)], check=False)
        assert other.network.subnet != hosts.network.subnet
        assert "unreachable" in reached.stderr
        assert ssh(other, "source-1", "hostname").stdout.split() == ["source-1"]

    assert sorted(links()) == ours
    assert [path.name for path in PLACES.iterdir() if name in path.name] == []
    assert podman("ps", "--all", "--quiet", "--filter", f"label=certautopilot-hosts={name}").stdout == ""
    assert (sockets.exists(), (tmp_path / "other").exists()) == (False, False)
    assert ssh(hosts, "source-1", "true").returncode == 0


def test_a_set_that_does_not_come_up_leaves_nothing(hosts, tmp_path, monkeypatch):
    def never(self, host):
        raise RuntimeError("planted")

    monkeypatch.setattr(Hosts, "wait_until_booted", never)
    broken = Hosts(tmp_path / "broken", hosts=("source-1",))

    with pytest.raises(RuntimeError, match="planted"):
        broken.up()

    assert not broken.folder.exists()
    assert [path.name for path in PLACES.iterdir() if broken.name in path.name] == []
    assert podman("ps", "--all", "--quiet", "--filter", f"label=certautopilot-hosts={broken.name}").stdout == ""
