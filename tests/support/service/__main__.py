# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the stand-in.

python -m tests.support.service serve --config FILE --secrets FILE [--mode all] [--heartbeat-interval 30]
                                      [--detach --pid-file FILE --log-file FILE]
python -m tests.support.service stop --pid-file FILE
python -m tests.support.service kek pkcs11-init|verify|rotate|status|remove ... --config FILE --secrets FILE
python -m tests.support.service seed --config FILE --secrets FILE --records N --projects N [--seed N]
python -m tests.support.service writer|reader --config FILE --secrets FILE --seconds S --log FILE
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.support import processes

from . import kek_commands, load, seed, server
from .config import Config, secrets_of
from .config import load as load_config
from .registry import Registry, connect

START_TIMEOUT_S = 30.0


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.command == "stop":
        stop(arguments.pid_file)
    elif arguments.command == "running":
        raise SystemExit(0 if is_running(arguments.pid_file) else 3)
    elif arguments.command == "serve" and arguments.detach:
        detach(arguments)
    else:
        if not getattr(arguments, "secrets_from_environment", False):  # else a unit's EnvironmentFile= brought them
            os.environ.update(secrets_of(arguments.secrets))
        run(arguments, load_config(arguments.config, os.environ))


def run(arguments: argparse.Namespace, config: Config) -> None:
    """Run one command in this process."""
    if arguments.command == "serve":
        server.serve(config, mode=arguments.mode, interval_s=arguments.heartbeat_interval, pid_file=arguments.pid_file)
    elif arguments.command == "kek":
        kek(arguments, config)
    elif arguments.command == "seed":
        counts = seed.seed(
            Registry(config, connect(config)), records=arguments.records, projects=arguments.projects,
            seed_number=arguments.seed, api_key_file=arguments.api_key_file,
        )  # fmt: skip
        print(json.dumps(counts))
    else:
        work = {"writer": load.write, "reader": load.read}[arguments.command]
        work(config, seconds=arguments.seconds, rate=arguments.rate, threads=arguments.threads, log_file=arguments.log,
             reload_s=arguments.reload)  # fmt: skip


def kek(arguments: argparse.Namespace, config: Config) -> None:
    """Run one `kek` command."""
    if arguments.kek == "pkcs11-init":
        kek_commands.pkcs11_init(config, arguments.version)
    elif arguments.kek == "verify":
        kek_commands.verify(config, arguments.target)
    elif arguments.kek == "rotate":
        kek_commands.rotate(config, arguments.from_version, arguments.to_version)
    elif arguments.kek == "status":
        kek_commands.status(config)
    else:
        kek_commands.remove(config, arguments.version)


def detach(arguments: argparse.Namespace) -> None:
    """Start `serve` in a session of its own and return when it is ready, or with its error when it ended."""
    if arguments.pid_file is None:
        raise SystemExit("error: --detach needs --pid-file")
    if is_running(arguments.pid_file):
        return
    arguments.pid_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.service", "serve"]
    for name in ("config", "secrets", "pid_file"):  # WHY absolute: the child's working folder is the root
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name).absolute())]
    command += ["--mode", arguments.mode, "--heartbeat-interval", str(arguments.heartbeat_interval)]
    with open(arguments.log_file, "ab") as log:
        started = log.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=processes.repository_environment(), cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while processes.read_pid(arguments.pid_file) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            sys.stderr.buffer.write(arguments.log_file.read_bytes()[started:])
            raise SystemExit(max(child.wait(), 1))
        time.sleep(0.05)


def is_running(pid_file: Path) -> bool:
    """Return whether the process of the pid file is ours and alive."""
    pid = processes.read_pid(pid_file)
    return pid is not None and processes.is_alive(pid) and "tests.support.service" in processes.command_line(pid)


def stop(pid_file: Path) -> None:
    """End the process of the pid file; none running is fine."""
    pid = processes.read_pid(pid_file)
    if pid is not None:
        processes.end(pid, marker="tests.support.service")
    pid_file.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="certautopilot (stand-in)")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=Path("/etc/certautopilot/config.yaml"))
    common.add_argument("--secrets", type=Path, default=Path("/etc/certautopilot/secrets.env"))
    serve = commands.add_parser("serve", parents=[common])
    serve.add_argument("--mode", choices=["api", "worker", "scheduler", "all"], default="all")
    serve.add_argument("--heartbeat-interval", type=float, default=30.0)
    serve.add_argument("--pid-file", type=Path)
    serve.add_argument("--log-file", type=Path, default=Path(os.devnull))
    serve.add_argument("--detach", action="store_true")
    serve.add_argument("--secrets-from-environment", action="store_true")
    for name in ("stop", "running"):
        commands.add_parser(name).add_argument("--pid-file", type=Path, required=True)
    filling = commands.add_parser("seed", parents=[common])
    filling.add_argument("--records", type=int, default=500)
    filling.add_argument("--projects", type=int, default=3)
    filling.add_argument("--seed", type=int, default=7)
    filling.add_argument("--api-key-file", type=Path)
    for name in ("writer", "reader"):
        loading = commands.add_parser(name, parents=[common])
        loading.add_argument("--seconds", type=float, required=True)
        loading.add_argument("--rate", type=float, default=20.0)
        loading.add_argument("--threads", type=int, default=1)
        loading.add_argument("--log", type=Path, required=True)
        loading.add_argument("--reload", type=float, default=30.0)
    keks = commands.add_parser("kek").add_subparsers(dest="kek", required=True)
    for name in ("pkcs11-init", "remove"):
        keks.add_parser(name, parents=[common]).add_argument("--version", type=int, required=True)
    keks.add_parser("verify", parents=[common]).add_argument("--target", type=int)
    keks.add_parser("status", parents=[common])
    rotating = keks.add_parser("rotate", parents=[common])
    rotating.add_argument("--from-version", type=int)
    rotating.add_argument("--to-version", type=int, required=True)
    return parser


if __name__ == "__main__":
    main()
