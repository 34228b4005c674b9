# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that speaks MongoDB's protocol, for tests and the demo.

Order of choice: `MONGODB_URI` of the environment (not ours, never stopped), `mongod` on PATH, SecantusDB
(`secantusd-py`) beside this interpreter or on PATH. Ours listen on loopback, or on an address of a network namespace of
the tests' own (tests/support/hosts, where a database may also have a host), and keep all they write in one folder.

    python -m tests.support.database start --dir DIR [--host ADDRESS] [--port N] [--port-file FILE]
                                           [--no-sync-on-commit]
    python -m tests.support.database stop --dir DIR
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from . import processes

START_TIMEOUT_S = 30.0


@dataclass
class DatabaseServer:
    """A server process, or a given one. `folder` is None for a given one."""

    folder: Path | None
    engine: str  # external | mongod | secantusdb
    port: int = 0
    sync_on_commit: bool = True
    given_uri: str = ""
    host: str = "127.0.0.1"
    pid: int = 0
    flags: tuple[str, ...] = ()  # more of SecantusDB's own: TLS, users
    query: str = ""  # what a client of ours must say to it, as "?tls=true"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        """The URI without a database name."""
        return self.given_uri or f"mongodb://{self.host}:{self.port}/{self.query}"

    def start(self) -> None:
        """Start the process and wait until it answers. Raises RuntimeError with the end of its log when it does not."""
        if self.folder is None:
            _wait_for_answer(self.uri, alive=lambda: True)
            return
        fixed_port = bool(self.port)
        for attempt in range(3):
            self.port = self.port if fixed_port else processes.free_port()
            self._launch(self.folder)
            if _wait_for_answer(self.uri, alive=lambda: processes.is_alive(self.pid)):
                return
            self.kill()
            if attempt == 2 or fixed_port:
                break
        raise RuntimeError(f"{self.engine} does not answer on port {self.port}: {_log_end(self.folder)}")

    def stop(self) -> None:
        """End the process politely; a given server is left alone."""
        if self.folder is None or not self.pid:
            return
        processes.end(self.pid, marker=str(self.folder), timeout_s=30.0)
        self._reap()

    def kill(self) -> None:
        """End the process as a power cut would (SIGKILL). Raises RuntimeError for a given server."""
        if self.folder is None:
            raise RuntimeError("MONGODB_URI names a server that is not ours to kill")
        if self.pid and processes.is_alive(self.pid) and str(self.folder) in processes.command_line(self.pid):
            os.kill(self.pid, signal.SIGKILL)
            processes.wait_until_ended(self.pid, 10.0)
        self._reap()

    def restart(self) -> None:
        """Stop when it still runs, then start again on the same port and storage."""
        self.stop()
        self.start()

    def new_name(self, prefix: str = "cap") -> str:
        """Return a database name that nobody else uses."""
        return f"{prefix}_{uuid.uuid4().hex[:12]}"

    def _launch(self, folder: Path) -> None:
        working = folder / "cwd"  # WHY: SecantusDB picks up settings from its working folder, so give it an empty one
        for part in (folder / "data", working):
            part.mkdir(parents=True, exist_ok=True)
        with open(folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                _command(self, folder), cwd=working, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "HOME": str(working)}, start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=10)
            self._process = None
        self.pid = 0


def choose(folder: Path, *, port: int = 0, sync_on_commit: bool = True, host: str = "127.0.0.1") -> DatabaseServer:
    """Return a server that is not started yet. Raises RuntimeError when this machine has none."""
    given = os.environ.get("MONGODB_URI", "")
    if given:
        return DatabaseServer(folder=None, engine="external", given_uri=given)
    engine = "mongod" if shutil.which("mongod") else "secantusdb"
    if engine == "secantusdb" and _secantus_path() is None:
        raise RuntimeError("no database server: set MONGODB_URI, or install mongod or SecantusDB")
    return DatabaseServer(folder=folder.resolve(), engine=engine, port=port, sync_on_commit=sync_on_commit, host=host)


@contextmanager
def running(folder: Path, *, sync_on_commit: bool = True) -> Iterator[DatabaseServer]:
    """Yield a server that answers; stop it afterwards."""
    server = choose(folder, sync_on_commit=sync_on_commit)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _secantus_path() -> str | None:
    beside = Path(sys.executable).parent / "secantusd-py"
    return str(beside) if beside.exists() else shutil.which("secantusd-py")


def _command(server: DatabaseServer, folder: Path) -> list[str]:
    data = str(folder / "data")
    if server.engine == "mongod":
        return [str(shutil.which("mongod")), "--bind_ip", server.host, "--port", str(server.port), "--dbpath", data]
    settings = folder / "secantusd.toml"
    # WHY a named file: it stops the search for settings in /etc and home. The oplog is as long as a real server's would
    # be for these data: source and destination share it here, and it would be cut after 100,000 records of either.
    settings.write_text("[oplog]\nmax_entries = 2000000\n", encoding="ascii")
    command = [str(_secantus_path()), "--config", str(settings), "--host", server.host, "--port", str(server.port)]
    command += ["--storage-path", data, "--log-level", "WARNING"]
    return [*command, *server.flags, *(["--sync-on-commit"] if server.sync_on_commit else [])]


def _wait_for_answer(uri: str, alive: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and alive():
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(uri, serverSelectionTimeoutMS=500)
        try:
            client.admin.command("ping")
            return True
        except PyMongoError:
            time.sleep(0.05)
        finally:
            client.close()
    return False


def _log_end(folder: Path) -> str:
    return (folder / "server.log").read_text(encoding="utf-8", errors="replace")[-800:]


def _start(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    server = choose(folder, port=arguments.port, sync_on_commit=arguments.sync_on_commit, host=arguments.host)
    pid = processes.read_pid(folder / "server.pid")
    port_file = Path(arguments.port_file) if arguments.port_file else folder / "port"
    if pid and processes.is_alive(pid) and str(folder) in processes.command_line(pid):
        server.port = int((folder / "port").read_text(encoding="ascii"))
    else:
        server.start()
        (folder / "server.pid").write_text(f"{server.pid}\n", encoding="ascii")
        (folder / "port").write_text(f"{server.port}\n", encoding="ascii")
    port_file.write_text(f"{server.port}\n", encoding="ascii")
    print(server.uri)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.dir).resolve()
    pid = processes.read_pid(folder / "server.pid")
    if pid:
        processes.end(pid, marker=str(folder), timeout_s=30.0)
    (folder / "server.pid").unlink(missing_ok=True)
    return 0


def main() -> int:
    """Start or stop a server that outlives this command; print its URI."""
    parser = argparse.ArgumentParser(prog="tests.support.database", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("start")
    start.add_argument("--host", default="127.0.0.1")
    start.add_argument("--port", type=int, default=0)
    start.add_argument("--port-file", default="")
    start.add_argument("--sync-on-commit", action=argparse.BooleanOptionalAction, default=True)
    for verb in (start, verbs.add_parser("stop")):
        verb.add_argument("--dir", required=True)
    arguments = parser.parse_args()
    return _start(arguments) if arguments.verb == "start" else _stop(arguments)


if __name__ == "__main__":
    sys.exit(main())
