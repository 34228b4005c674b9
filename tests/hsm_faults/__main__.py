# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m tests.hsm_faults [--functions C_Login,C_Encrypt] [--kinds before,hang] [--verbs init,rotate] [--at 1,late]

Each case is a fresh database and a fresh token with versions 1 and 2, and records under version 1. A verb runs with one
fault, then again without it. Wrong is: an error that is not one of ours, a key too many or too few, records that stay
or hold something else, a next run that does not end right. A login that was not answered is tried again as an operator
does.
wrong_data: the function says CKR_OK and tells something wrong; nothing: it says so, and did and told nothing. How often
a verb calls each function is counted first; cases that come after the last call are not run. late: after three quarters
of the calls, where the probe and the canaries are behind and records move.
Ends with one line: "held" or "BROKEN", and the counts as JSON. Exit status 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.site import Site
from tests.integration.token import Token
from tests.support import database, hsm_shim

from .scene import RECORDS, VERBS, broken, prepared

KINDS = ("before", "after", "crash_before", "crash_after", "hang", "wrong_data", "nothing")
IMPATIENT = {"CERTAUTOPILOT_OPS_PKCS11_TIMEOUT": "3", "CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT": "5"}
NOT_REACHED = "not reached"
LATE, EARLY = "late", 4  # EARLY: the last call that is named by its number


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hsm_faults")
    parser.add_argument("--functions", default=",".join(hsm_shim.FUNCTIONS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--at", default="1,4,late")
    given = parser.parse_args()
    wanted = [
        (verb, function, kind, at)
        for verb in given.verbs.split(",")
        for function in given.functions.split(",")
        for kind in given.kinds.split(",")
        for at in given.at.split(",")
        if _can(function, kind)
    ]
    began, wrong, codes = time.monotonic(), [], collections.Counter[str]()
    with tempfile.TemporaryDirectory(prefix="hsm-faults-") as name:
        folder = Path(name)
        with database.running(folder / "server", sync_on_commit=False) as server:
            bench = Bench(folder, server)
            calls = {pair: bench.calls(*pair) for pair in dict.fromkeys(case[:2] for case in wanted)}
            for verb, function, kind, moment in wanted:
                at = _call(moment, calls[verb, function])
                if at is None:
                    codes[NOT_REACHED] += 1
                    continue
                found, code = bench.tried(verb, function, kind, at)
                wrong += [f"{verb} {function} {kind} {at}: {line}" for line in found]
                codes[code] += 1
    for line in wrong:
        print(f"wrong: {line}")
    reached = sum(codes.values()) - codes[NOT_REACHED]
    facts = {"cases": reached, "records": RECORDS, "wrong": len(wrong), "codes": dict(codes.most_common())}
    facts["seconds"] = round(time.monotonic() - began)
    print(f"hsm-faults: {'BROKEN' if wrong else 'held'} {json.dumps(facts)}")
    return 1 if wrong else 0


def _call(moment: str, calls: int) -> int | None:
    """Return which call is meant, None where it is not reached, or was an earlier moment's already."""
    if moment == LATE:
        return calls * 3 // 4 if calls * 3 // 4 > EARLY else None
    return int(moment) if int(moment) <= calls else None


def _can(function: str, kind: str) -> bool:
    """Return whether a function can fail in this way: not all tell something, and not all can do nothing."""
    named = {"wrong_data": hsm_shim.TELLS, "nothing": hsm_shim.CAN_DO_NOTHING}
    return function in named.get(kind, hsm_shim.FUNCTIONS)


class Bench:
    """Where cases are tried, each with a database and a token of its own."""

    def __init__(self, folder: Path, server: Any) -> None:
        self._folder, self._server, self._number = folder, server, 0
        self._library = hsm_shim.build(folder)
        first = Site(folder / "first", server.uri, server.new_name("f"))
        self._template = prepared(folder / "template", first, self._library)

    def calls(self, verb: str, function: str) -> int:
        """Return how often a verb calls a function when nothing fails."""
        with self._case() as (site, _token, state):
            _with_faults(hsm_shim.environment(fault_function=hsm_shim.FUNCTIONS[function]), site, verb)
            return hsm_shim.counters(state)["fault_calls"]

    def tried(self, verb: str, function: str, kind: str, at: int) -> tuple[list[str], str]:
        """Return (what is wrong, the code that the verb failed with, or "met no fault", or "none")."""
        with self._case() as (site, token, state):
            code = _with_faults(hsm_shim.environment(**hsm_shim.fault(function, kind, fault_at=at)), site, verb)
            met = hsm_shim.counters(state)["faults"]
            wrong = [code] if code.startswith("unexpected") else []
            again = _run(site, verb)
            if again == "pkcs11.pin_refused_before":
                site.call("kek_pkcs11_init", version=1, retry_refusal=_refusal(site))
                again = _run(site, verb)
            if again:
                wrong.append(f"the run without the fault failed with {again}, the first one with {code or 'nothing'}")
            wrong += broken(site, Token(token.conf, token.label), verb)
            return wrong, (code or "none") if met else "met no fault"

    @contextmanager
    def _case(self) -> Iterator[tuple[Site, Token, Path]]:
        self._number += 1
        site = Site(self._folder / f"site{self._number}", self._server.uri, self._server.new_name("f"))
        site.provider = "pkcs11"
        folder = self._folder / f"token{self._number}"
        token, state = self._template.copy(folder, site), folder / "shim.state"
        plain = {"SOFTHSM2_CONF": token.conf, **hsm_shim.environment(state=state)}
        site.pkcs11 = token.settings(module_path=self._library)
        site.secrets = {**IMPATIENT, **plain}
        site.write()
        os.environ.update(plain)
        try:
            yield site, token, state
        finally:
            site.client.drop_database(site.name)
            site.client.close()
            shutil.rmtree(folder, ignore_errors=True)


def _with_faults(faults: dict[str, str], site: Site, verb: str) -> str:
    """Return the code that a verb failed with, "" for none."""
    plain = dict(os.environ)
    os.environ.update(faults)
    try:
        return _run(site, verb)
    finally:
        for variable in faults.keys() - plain.keys():
            os.environ.pop(variable)


def _run(site: Site, verb: str) -> str:
    """Return the code that a verb failed with, "" for none."""
    name, options = VERBS[verb](site)
    try:
        site.call(name, **options)
    except OpsError as failure:
        return failure.code
    except Exception as surprise:  # noqa: BLE001 - that is what is looked for
        return f"unexpected {type(surprise).__name__}: {surprise}"
    return ""


def _refusal(site: Site) -> str:
    [note] = site.db.kek_pin_refusals.find()
    return str(note["refused"][-1]["refusal"])


if __name__ == "__main__":
    sys.exit(main())
