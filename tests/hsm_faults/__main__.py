# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m tests.hsm_faults [--functions C_Login,C_Encrypt] [--kinds before,hang] [--verbs init,rotate] [--at 1,4]

Each case is a fresh database and a fresh token with versions 1 and 2, and records under version 1. A verb runs with one
fault, then again without it. Wrong is: an error that is not one of ours, a key too many or too few, records that stay,
a next run that does not end right. A login that was not answered is retried as an operator does.
Ends with one line: "held" or "BROKEN", and the counts as JSON. Exit status 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.site import Site
from tests.integration.token import Token
from tests.support import database, hsm_shim

from .scene import RECORDS, VERBS, broken, prepared

KINDS = ("before", "after", "crash_before", "crash_after", "hang")
IMPATIENT = {"CERTAUTOPILOT_OPS_PKCS11_TIMEOUT": "3", "CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT": "5"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hsm_faults")
    parser.add_argument("--functions", default=",".join(hsm_shim.FUNCTIONS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("--at", default="1,4")
    given = parser.parse_args()
    cases = itertools.product(
        given.verbs.split(","), given.functions.split(","), given.kinds.split(","), map(int, given.at.split(","))
    )
    began, wrong, codes = time.monotonic(), [], collections.Counter[str]()
    with tempfile.TemporaryDirectory(prefix="hsm-faults-") as name:
        folder = Path(name)
        library = hsm_shim.build(folder)
        with database.running(folder / "server", sync_on_commit=False) as server:
            template = prepared(folder / "template", Site(folder / "first", server.uri, server.new_name("f")), library)
            for number, case in enumerate(cases):
                site = Site(folder / f"site{number}", server.uri, server.new_name("f"), provider="pkcs11")
                found, code = _tried(folder / f"token{number}", template, site, library, *case)
                wrong += [f"{' '.join(map(str, case))}: {line}" for line in found]
                codes[code] += 1
                site.client.drop_database(site.name)
                site.client.close()
                shutil.rmtree(folder / f"token{number}", ignore_errors=True)
    for line in wrong:
        print(f"wrong: {line}")
    facts = {"cases": sum(codes.values()), "records": RECORDS, "wrong": len(wrong), "codes": dict(codes.most_common())}
    facts["seconds"] = round(time.monotonic() - began)
    print(f"hsm-faults: {'BROKEN' if wrong else 'held'} {json.dumps(facts)}")
    return 1 if wrong else 0


def _tried(folder, template, site, library, verb, function, kind, at) -> tuple[list[str], str]:
    """Return (what is wrong, the code that the verb failed with or "met no fault" or "none")."""
    token = template.copy(folder, site)
    state = folder / "shim.state"
    plain = {"SOFTHSM2_CONF": token.conf, **hsm_shim.environment(state=state)}
    site.pkcs11 = token.settings(module_path=library)
    site.secrets = {**IMPATIENT, **plain}
    site.write()
    os.environ.update(plain)
    faults = hsm_shim.environment(**hsm_shim.fault(function, kind, fault_at=at))
    os.environ.update(faults)
    code, wrong = _run(site, verb), []
    met = hsm_shim.counters(state)["faults"] if state.exists() else 0
    for variable in faults:
        os.environ.pop(variable, None)
    os.environ.update(plain)
    if code.startswith("unexpected"):
        wrong.append(code)
    again = _run(site, verb)
    if again == "pkcs11.pin_refused_before":
        site.call("kek_pkcs11_init", version=1, retry_refusal=_refusal(site))
        again = _run(site, verb)
    if again:
        wrong.append(f"the run without the fault failed with {again}, the first one with {code or 'nothing'}")
    wrong += broken(site, Token(token.conf, token.label), verb)
    return wrong, (code or "none") if met else "met no fault"


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
