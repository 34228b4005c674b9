# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory in one folder: database server, SoftHSM2 token, a source installation with records, and an inventory.

    python -m tests.support.lab up --dir DIR [--records N] [--no-source]
    python -m tests.support.lab down --dir DIR

`DIR/hosts.yml` is the inventory: `old` in group source, `new` in groups destination and certautopilot, both on this
machine. Everything written lies below DIR; `down` ends the processes by their pid files and removes the folder.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from . import database, processes, softhsm

SERVICE = "tests.support.service"
TOKEN = "certautopilot-lab"
HEARTBEAT_S = 1


class Lab:
    """Paths and commands of one laboratory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.inventory = self.folder / "hosts.yml"
        self.report = self.folder / "report" / "migration.json"

    def files(self, side: str) -> tuple[Path, Path]:
        """Return (config.yaml, secrets.env) of side `old` or `new`."""
        return self.folder / side / "config.yaml", self.folder / side / "secrets.env"

    @property
    def pin(self) -> str:
        return (self.folder / "hsm" / "pin").read_text().strip()

    @property
    def softhsm_conf(self) -> Path:
        return self.folder / "hsm" / "softhsm2.conf"

    def up(self, *, records: int, with_source: bool) -> None:
        """Set everything up. The source runs when this returns."""
        for name in ("old", "new", "hsm"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        server = database.choose(self.folder / "db", sync_on_commit=False)
        server.start()
        (self.folder / "db.pid").write_text(f"{server.pid}\n")
        for side in ("old", "new"):
            _private(self.folder / side / "uri", server.uri)
        _private(self.folder / "hsm" / "pin", "pin-" + secrets.token_hex(6))
        softhsm.call("init", self.folder / "hsm", TOKEN, f"so-{secrets.token_hex(6)}\n{self.pin}\n")
        names = {side: server.new_name(f"lab_{side}") for side in ("old", "new")}
        ports = {side: processes.free_port() for side in ("old", "new")}
        self.inventory.write_text(yaml.safe_dump(self._inventory(names, ports), sort_keys=False))
        if with_source:
            self._source(server.uri, names["old"], ports["old"], records)

    def stop(self) -> None:
        """End what runs; everything written stays."""
        for side in ("old", "new"):
            if (self.folder / side / "pid").exists():
                self.service("stop", side)
        pid = processes.read_pid(self.folder / "db.pid")
        if pid:
            processes.end(pid, marker=str(self.folder), timeout_s=30.0)

    def down(self) -> None:
        """End what runs and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def service_command(self, command: str, side: str) -> list[str]:
        """Return the stand-in's command line for one side."""
        config, secrets_file = self.files(side)
        pid = ["--pid-file", str(self.folder / side / "pid")]
        base = [sys.executable, "-m", SERVICE, command]
        if command in ("stop", "running"):
            return [*base, *pid]
        files = ["--config", str(config), "--secrets", str(secrets_file)]
        if command != "serve":
            return [*base, *files]
        log = ["--log-file", str(self.folder / side / "log")]
        return [*base, *files, *pid, *log, "--heartbeat-interval", str(HEARTBEAT_S), "--detach"]

    def service(self, command: str, side: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the stand-in's command line for one side."""
        environment = processes.repository_environment({"SOFTHSM2_CONF": str(self.softhsm_conf)})
        line = [*self.service_command(command, side), *more]
        return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)

    def _source(self, uri: str, name: str, port: int, records: int) -> None:
        config, secrets_file = self.files("old")
        document = {"server": {"port": port}, "database": {"name": name}, "encryption": {"provider": "env"}}
        config.write_text(yaml.safe_dump(document))
        lines = {
            "CERTAUTOPILOT_DATABASE_URI": uri,
            "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1": secrets.token_hex(32),
            "CERTAUTOPILOT_API_KEY_PEPPER": secrets.token_urlsafe(24),
            "CERTAUTOPILOT_JWT_SECRET": secrets.token_urlsafe(32),
        }
        _private(secrets_file, "".join(f"{key}={value}\n" for key, value in lines.items()))
        for ended in (
            self.service("serve", "old"),
            self.service("seed", "old", "--records", str(records), "--api-key-file", str(self.folder / "api-key")),
        ):
            if ended.returncode:
                raise RuntimeError(ended.stderr)

    def _inventory(self, names: dict[str, str], ports: dict[str, int]) -> dict[str, Any]:
        hosts = {side: self._host(side, ports[side]) for side in ("old", "new")}
        new = {
            "provider": "pkcs11",
            "mongodb_uri_file": str(self.folder / "new" / "uri"),
            "mongodb_database": names["new"],
            "pkcs11_module_path": softhsm.module_path(),
            "pkcs11_token_label": TOKEN,
            "pkcs11_pin_file": str(self.folder / "hsm" / "pin"),
            "server_port": ports["new"],
            "extra_secrets": {"SOFTHSM2_CONF": str(self.softhsm_conf)},
            "owner": _user(),
            "group": _group(),
        }
        hosts["new"].update({f"install_{name}": value for name, value in new.items()})
        return {
            "all": {
                "vars": {"migrate_destination": new, "certautopilot_report_dir": str(self.report.parent)},
                "children": {
                    "source": {"hosts": {"old": hosts["old"]}},
                    "destination": {"hosts": {"new": hosts["new"]}},
                    "certautopilot": {"hosts": {"new": {}}},
                },
            }
        }

    def _host(self, side: str, port: int) -> dict[str, Any]:
        config, secrets_file = self.files(side)
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "certautopilot_runtime": False,  # the libraries are in the environment that make env made
            "certautopilot_config_file": str(config),
            "certautopilot_secrets_file": str(secrets_file),
            "certautopilot_environment": {"SOFTHSM2_CONF": str(self.softhsm_conf)} if side == "new" else {},
            "certautopilot_service_manager": "command",
            "certautopilot_service_start_command": self.service_command("serve", side),
            "certautopilot_service_stop_command": self.service_command("stop", side),
            "certautopilot_service_running_command": self.service_command("running", side),
            "certautopilot_service_environment": {"PYTHONPATH": str(processes.REPOSITORY)},
            "certautopilot_health_url": f"http://127.0.0.1:{port}/readyz",
            "certautopilot_quiesce_wait_s": HEARTBEAT_S + 2,
            "certautopilot_migration_dir": str(self.folder / f"work-{side}"),
            "certautopilot_backup_dir": str(self.folder / "backups"),
        }


@contextmanager
def running(folder: Path, *, records: int) -> Iterator[Lab]:
    """Yield a laboratory with a source that serves; take it down afterwards, also where it did not come up whole."""
    lab = Lab(folder)
    try:
        lab.up(records=records, with_source=True)
        yield lab
    finally:
        lab.down()


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--no-source", action="store_true")
    arguments = parser.parse_args()
    lab = Lab(arguments.dir)
    if arguments.command == "down":
        lab.down()
        return
    lab.down()
    lab.up(records=arguments.records, with_source=not arguments.no_source)
    print(lab.inventory)


if __name__ == "__main__":
    main()
