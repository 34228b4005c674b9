# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of a race: runs a verb on the database and the token of each line it is sent, when it is sent.

Arguments: URI, folder. A line is JSON: {database, pkcs11, verb, options}; the answer is a line of JSON: {changed, key},
or {code, message}. The database is not dropped, and a token's worker is started once and kept for the next line: what
races is the turn, the lease and the token's own calls, not the start of processes. Waiting is polled every 10 ms.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[3]
UTILS = "ansible_collections.certautopilot.ops.plugins.module_utils"


def main() -> None:
    sys.path[:1] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from tests.integration.site import Site

    errors = importlib.import_module(f"{UTILS}._domain.errors")
    leases = importlib.import_module(f"{UTILS}._store.leases")
    leases.time = SimpleNamespace(sleep=lambda s: time.sleep(min(s, 0.01)), monotonic=time.monotonic)
    keep_workers(importlib.import_module(f"{UTILS}._keys.registry"))
    uri, folder = sys.argv[1:]
    site = Site(Path(folder), uri, "none", provider="pkcs11")
    for line in sys.stdin:
        order = json.loads(line)
        site.name, site.pkcs11 = order["database"], order["pkcs11"]
        site.write()
        try:
            result = site.call(order["verb"], **order["options"])
            answer = {"changed": result.changed, "key": result.values.get("key")}
        except errors.OpsError as refusal:
            answer = {"code": refusal.code, "message": refusal.message}
        print(json.dumps(answer), flush=True)


def keep_workers(registry) -> None:
    """Give a verb the provider that an earlier one opened for the token, in a turn of its own."""
    real, opened = registry.build_registry, {}

    def build(settings, *, workers=1, first_login=None):
        token = settings.values["pkcs11_token_label"]
        if token in opened:
            with first_login or contextlib.nullcontext():
                return opened[token]
        opened[token] = real(settings, workers=workers, first_login=first_login)
        opened[token].close = lambda: None
        return opened[token]

    registry.build_registry = build


if __name__ == "__main__":
    main()
