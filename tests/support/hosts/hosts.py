# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of test hosts: up, down, and what a test does to a host from outside.

States of a set: nothing -> up -> down, the folder is gone again. `down` works from the folder alone, also after an `up`
that ended half way. Order of removal: connections, containers, database, network, folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .. import processes
from . import available, database_host, image
from .access import LOGIN, URI_FILE, Access
from .engine import podman
from .network import Network

HOSTS = ("source-1", "source-2", "destination-1", "destination-2", "database-1")
DATABASE_PORT = 27017
BOOT_S = 60.0
SHARED = "/srv/shared"  # one folder for all hosts of a set: with SoftHSM2's tokens in it they have one HSM
HEARTBEAT_S = 1.0  # the product's is 30
PRODUCT_PYTHON = "/usr/share/certautopilot/venv/bin/python"


class Hosts:
    """One set of hosts, named by its folder; `name` tells its containers and namespaces from those of other sets.

    suite: of all hosts, or of some by their names (image.suites_of); where none is said, HOSTS_SUITE of the environment
    says it, so that tests which do not care about the release run on any.
    """

    def __init__(self, folder: Path, *, name: str = "", suite: str = "", hosts: tuple[str, ...] = HOSTS,
                 subnet: str = "", heartbeat_s: float = HEARTBEAT_S) -> None:  # fmt: skip
        self.folder = Path(folder).resolve()
        digest = hashlib.sha256(str(self.folder).encode()).digest()
        self.name = name or digest.hex()[:8]
        self.hosts = tuple(hosts)
        self.suite = suite or image.chosen()
        self.suites = image.suites_of(self.hosts, self.suite)
        self.heartbeat_s = heartbeat_s
        self.network = Network(self.name, subnet or f"10.{64 + digest[0] % 64}.{digest[1]}.0/24")
        self.access = Access(self.folder, self.network, self.hosts)

    @classmethod
    def load(cls, folder: Path) -> Hosts:
        """Return the set whose `up` wrote this folder. Raises FileNotFoundError when there is none."""
        kept = json.loads((Path(folder) / "set.json").read_text(encoding="utf-8"))
        return cls(Path(folder), **{**kept, "hosts": tuple(kept["hosts"])})

    @property
    def inventory(self) -> Path:
        return self.access.inventory

    @property
    def nodes(self) -> tuple[str, ...]:
        """All hosts but the one that has the database."""
        return tuple(name for name in self.hosts if name != database_host.among(self.hosts))

    @property
    def enter(self) -> list[str]:
        """The beginning of a command line that sees the hosts and the database; plain ssh and Ansible do without."""
        return self.network.enter

    @property
    def database_uri(self) -> str:
        return f"mongodb://{self._database_address}:{DATABASE_PORT}/"

    def up(self, *, variables: dict[str, Any] | None = None) -> None:
        """Boot the hosts, all at once; return when each has booted. variables: of all hosts, for the inventory.

        Raises Unavailable where this machine cannot; nothing is left of a set that did not come up.
        """
        available.require()
        built = {suite: image.ensure(suite) for suite in dict.fromkeys(self.suites.values())}
        self.down()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._keep()
            self._product()
            (self.folder / "shared").mkdir()
            self.network.up()
            offline = {host: {"runtime_wheels": str(image.wheels(suite) or "")} for host, suite in self.suites.items()}
            self.access.write({"certautopilot_quiesce_wait_s": self.heartbeat_s + 2, **(variables or {})}, offline)
            with ThreadPoolExecutor() as pool:
                started = [pool.submit(self._boot, host, built[self.suites[host]]) for host in self.hosts]
                if not database_host.among(self.hosts):
                    started.append(pool.submit(self._database, "start", "--host", self.network.controller,
                                               "--port", str(DATABASE_PORT), "--no-sync-on-commit"))  # fmt: skip
                for future in started:
                    future.result()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Remove the set; nothing there is fine."""
        if not (self.folder / "set.json").exists():
            return
        self.access.close()
        found = podman("ps", "--all", "--quiet", "--filter", f"label=certautopilot-hosts={self.name}").stdout.split()
        if found:
            podman("rm", "--force", "--time", "0", "--volumes", *found)
        if (self.folder / "db").exists():
            self._database("stop")
        self.network.down()
        shutil.rmtree(self.folder)

    # --- one host, from outside: what happens here needs no ssh and asks no Ansible --------------------------------

    def run(self, host: str, argv: list[str], *, user: str = "root", given: str = "", check: bool = True,
            timeout: float = 120.0) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command on a host. given: its standard input. Raises RuntimeError with its output when it fails."""
        options = ["--interactive", "--user", user]
        ended = podman("exec", *options, self._container(host), *argv, check=False, given=given, timeout=timeout)
        if check and ended.returncode:
            raise RuntimeError(f"{host}: {argv}: exit status {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended

    def put(self, host: str, path: str, text: str, *, mode: str = "0600", owner: str = "root:root") -> None:
        """Write a file; its text is in no command line."""
        program = 'set -e; umask 077; mkdir -p "$(dirname "$1")"; cat >"$1"; chown "$2" "$1"; chmod "$3" "$1"'
        self.run(host, ["sh", "-c", program, "put", path, owner, mode], given=text)

    def read(self, host: str, path: str) -> str:
        return self.run(host, ["cat", path]).stdout

    def journal(self, host: str, unit: str = "", lines: int = 50) -> str:
        """Return the last lines of the journal; it survives reboots."""
        line = ["journalctl", "--no-pager", "--lines", str(lines), *(["--unit", unit] if unit else [])]
        return self.run(host, line).stdout

    def small_disk(self, host: str, path: str, size: str = "64k", mode: str = "0700", owner: str = "root") -> None:
        """Mount a file system of that size over a folder; it is gone after a reboot."""
        self.run(host, ["mkdir", "-p", path])
        self.run(host, ["mount", "-t", "tmpfs", "-o", f"size={size},mode={mode},uid={owner}", "small", path])

    def token(self, host: str, label: str, pin: str, *, user: str = "certautopilot") -> None:
        """Make a SoftHSM2 token where the product finds it, as the user whose files it becomes."""
        line = ["env", "PYTHONPATH=/usr/share/certautopilot/lib", PRODUCT_PYTHON, "-m", "tests.support.softhsm", "init",
                "--folder", "/var/lib/softhsm", "--label", label]  # fmt: skip
        self.run(host, line, user=user, given=f"so-{pin}\n{pin}\n")

    # --- what can befall a host --------------------------------------------------------------------------------------

    def reboot(self, host: str, *, power_cut: bool = False) -> None:
        """Shut down and boot again; a power cut shuts nothing down. Files stay, processes and /run do not."""
        if power_cut:
            podman("kill", "--signal", "KILL", self._container(host))
            podman("wait", self._container(host))
            podman("start", self._container(host))
        else:
            podman("restart", "--time", "30", self._container(host))
        self.wait_until_booted(host)

    def stop(self, host: str) -> None:
        """Shut the host down; `reboot` brings it back."""
        podman("stop", "--time", "30", self._container(host))

    def pause(self, host: str) -> None:
        """Freeze every process of the host: it accepts connections and never answers."""
        podman("pause", self._container(host))

    def unpause(self, host: str) -> None:
        podman("unpause", self._container(host))

    def unplug(self, host: str) -> None:
        """Pull the network cable: the host runs on, cannot be reached and reaches nothing."""
        self.network.plug(self.hosts.index(host), into=False)

    def plug(self, host: str) -> None:
        self.network.plug(self.hosts.index(host), into=True)

    def wait_until_booted(self, host: str) -> str:
        """Return `running` or `degraded`. Raises RuntimeError when the host does not boot."""
        deadline = time.monotonic() + BOOT_S
        state = ""
        while time.monotonic() < deadline:
            state = self.run(host, ["systemctl", "is-system-running"], check=False).stdout.strip()
            if state in ("running", "degraded"):
                return state
            time.sleep(0.1)
        logs = podman("logs", "--tail", "20", self._container(host), check=False)
        raise RuntimeError(f"{host} has not booted after {BOOT_S:.0f} s: {state or logs.stderr or logs.stdout}")

    # --- parts of `up` -----------------------------------------------------------------------------------------------

    def _container(self, host: str) -> str:
        if host not in self.hosts:
            raise ValueError(f"{host} is none of {', '.join(self.hosts)}")
        return f"cap-{self.name}-{host}"

    @property
    def _database_address(self) -> str:
        host = database_host.among(self.hosts)
        return self.network.address(self.hosts.index(host)) if host else self.network.controller

    def _boot(self, host: str, built: str) -> None:
        has_database = host == database_host.among(self.hosts)
        more = database_host.mounted(self.suites[host]) if has_database else []
        self.network.add(host, self.hosts.index(host))
        has_product = bool(self.suites[host].python)
        product = ["-v", f"{self.folder / 'product'}:/usr/share/certautopilot/lib:ro"] if has_product else []
        # WHY SYS_ADMIN: without it systemd leaves ProtectSystem= and its like out, and says nothing.
        podman(
            "run", "--detach", "--systemd=always", "--no-hosts", "--dns=none", "--cap-add=SYS_ADMIN",
            "--hostname", host, "--name", self._container(host), "--label", f"certautopilot-hosts={self.name}",
            "--network", f"ns:/run/netns/{self.network.of_host(host)}", "-v", f"{self.folder / 'shared'}:{SHARED}",
            *self.access.mounted(host), *product, *more, built,
        )  # fmt: skip
        self.wait_until_booted(host)
        if has_product:
            self.put(host, URI_FILE, self.database_uri)
        if has_database:
            database_host.start(partial(self.run, host), partial(self.put, host, mode="0644"),
                                self._database_address, DATABASE_PORT)  # fmt: skip

    def _database(self, *verb: str) -> None:
        enter = self.enter if verb[0] == "start" else []  # it is stopped by its pid, and the network may be gone
        line = [*enter, sys.executable, "-m", "tests.support.database", *verb, "--dir", str(self.folder / "db")]
        # WHY a file and no pipe: the server lives on, and a pipe would be held open by it.
        with open(self.folder / "db.log", "a", encoding="utf-8") as log:
            environment = processes.repository_environment({"MONGODB_URI": ""})
            ended = subprocess.run(
                line, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )  # runs: nsenter
        if ended.returncode:
            raise RuntimeError(f"database: {(self.folder / 'db.log').read_text(encoding='utf-8')[-2000:]}")

    def _keep(self) -> None:
        kept = {"name": self.name, "suite": self.suite, "hosts": self.hosts, "subnet": self.network.subnet,
                "heartbeat_s": self.heartbeat_s}  # fmt: skip
        (self.folder / "set.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")

    def _product(self) -> None:
        """Copy the stand-in, so that a change of the checkout reaches no host that runs."""
        support = processes.REPOSITORY / "tests" / "support"
        target = self.folder / "product" / "tests" / "support"
        shutil.copytree(support / "service", target / "service", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(support.parent / "__init__.py", target.parent)
        for name in ("__init__.py", "oracle.py", "processes.py", "softhsm.py"):
            shutil.copy2(support / name, target)
        (self.folder / "product" / "heartbeat").write_text(f"{self.heartbeat_s}\n", encoding="ascii")
        for path in (self.folder / "product", *(self.folder / "product").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # the service's user reads it, whatever umask made it


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Hosts]:
    """Yield a set that is up; take it down afterwards."""
    hosts = Hosts(folder, **options)
    try:
        hosts.up()
        yield hosts
    finally:
        hosts.down()


__all__ = ["HOSTS", "LOGIN", "URI_FILE", "Hosts", "running"]
