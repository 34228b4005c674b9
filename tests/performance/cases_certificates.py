# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates exported with their keys from the database and by the API, and one recovered out of many.

Each export is a process of its own, so that its memory can be told: run as a script it calls the verb that standard
input names, {verb, params, options}, and prints {seconds, kb}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.integration import stock
from tests.integration.processes.measuring import resident_kb
from tests.integration.site import VERBS, Site
from tests.support.database import DatabaseServer
from tests.support.processes import REPOSITORY
from tests.support.service.api import hash_key, serve_http
from tests.support.service.config import Config
from tests.support.service.registry import Registry, connect

from . import cases_env
from .cases_env import dropped
from .report import Goal, Row

LINEAR = Goal(False, 1.2, "x N ratio")
MEMORY = Goal(False, 2.0, "x of few")
FORMATS = ["cert.pem", "chain.pem", "fullchain.pem", "key.pem"]
KEYS = 8  # different ones: making them takes longer than all the rest
API_KEY = "cap_" + "a" * 52


def certificate_rows(server: DatabaseServer, folder: Path, sizes: tuple[int, int], by_api: int) -> list[Row]:
    """Return how long exports of few and of many take, what they hold, and the same by the API, and a recovery."""
    few, many = sizes
    rows, found = [], {}
    for size in sizes:
        site = _filled(server, folder / f"certificates{size}", size)
        order = {"formats": FORMATS, "include_keys": True, "dest": str(site.folder / "out")}
        found[size] = _measured("cert_export", site, order)
        again = _measured("cert_export", site, order)
        rows += [
            Row("cert_export with keys", size, found[size]["seconds"], note=_held(found[size])),
            Row("cert_export again, nothing new", size, again["seconds"], note=_held(again)),
        ]
        if size != many:
            dropped(site)
    growth = (found[many]["seconds"] / found[few]["seconds"]) / (many / few)
    rows.append(Row("cert_export: time grows with N", many, found[many]["seconds"], growth, LINEAR))
    memory = found[many]["kb"] / found[few]["kb"]
    rows.append(Row("cert_export: memory hardly does", many, None, memory, MEMORY, _held(found[many])))
    rows.append(_recovered(server, site, folder / "recovered", many))
    dropped(site)
    return [*rows, _by_api(server, folder / "api", by_api)]


def _filled(server: DatabaseServer, folder: Path, count: int) -> Site:
    """Return an installation with so many certificates, each with its key, in ten projects."""
    site = Site(folder, server.uri, server.new_name("bench"))
    site.add_kek(1)
    site.write()
    site.call("kek_install_lock")
    stock.allow_key_export(site)
    projects = [stock.project(site, f"Project {number}") for number in range(10)]
    leaves = [stock.authority().leaf(f"svc{number}", number=number) for number in range(KEYS)]
    for number in range(count):
        stock.certificate(site, projects[number % 10], f"svc-{number}.example.com", leaf=leaves[number % KEYS])
    return site


def _by_api(server: DatabaseServer, folder: Path, count: int) -> Row:
    site = _filled(server, folder, count)
    site.db.api_keys.insert_one({"_id": 1, "role": "operator", "hash": hash_key("", API_KEY)})
    key = folder / "api-key"
    key.touch(mode=0o600)
    key.write_text(API_KEY + "\n")
    config = Config(provider="env", uri=site.uri, database=site.name, host="127.0.0.1", port=0, instance="bench",
                    keks=site.keks)  # fmt: skip
    service = serve_http(Registry(config, connect(config)))
    order = {"formats": FORMATS, "include_keys": True, "dest": str(folder / "out"), "api_key_file": str(key),
             "api_url": f"http://127.0.0.1:{service.server_port}"}  # fmt: skip
    try:
        found = _measured("cert_export", site, order)
    finally:
        service.shutdown()
        service.server_close()
        dropped(site)
    return Row("cert_export by the API", count, found["seconds"], note=_held(found))


def _recovered(server: DatabaseServer, old: Site, folder: Path, count: int) -> Row:
    """One certificate out of a backup of all."""
    src = folder / "backup"
    folder.mkdir()
    old.call("db_backup", dest=str(src))
    new = Site(folder / "new", server.uri, server.new_name("bench"))
    new.add_kek(1)
    new.write()
    new.call("kek_install_lock")
    new.db.projects.insert_many(list(old.db.projects.find()))
    order = {"src": str(src), "names": ["svc-7.example.com"]}
    source = {"source_config_file": str(old.config_file), "source_secrets_file": str(old.secrets_file)}
    found = _measured("cert_recover", new, order, source)
    dropped(new)
    return Row("cert_recover: one out of a backup of so many", count, found["seconds"], note=_held(found))


def _measured(verb: str, site: Site, options: dict[str, Any], source: dict[str, str] | None = None) -> dict[str, Any]:
    params = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file), **(source or {})}
    order = json.dumps({"verb": verb, "params": params, "options": options})
    command = [sys.executable, "-m", f"{__package__}.cases_certificates"]
    ended = subprocess.run(
        command, input=order, env=cases_env.environment(), capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _held(found: dict[str, Any]) -> str:
    return f"{found['kb'] / 1024:.0f} MB at its peak"


def _unheard(_warning: str) -> None:
    """Warnings of a measured run are shown to nobody."""


def main() -> None:
    import importlib

    from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration

    order = json.load(sys.stdin)
    verb = importlib.import_module(f"{VERBS}.{order['verb']}")
    params = order["params"]
    settings = configuration.settings_from(params, environment={}, warn=_unheard)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in order["options"].items()}
    if "source_config_file" in params:
        options["source"] = configuration.settings_of_source(params, environment={}, warn=_unheard)
    began = time.monotonic()
    verb.run(settings, verb.Options(**options), check=False, warn=_unheard)
    print(json.dumps({"seconds": time.monotonic() - began, "kb": resident_kb()}))


if __name__ == "__main__":
    main()
