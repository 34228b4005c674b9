# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that makes a first start with one provider on every database whose name it is sent.

Arguments: URI, provider, folder. Reads a database name a line, answers with JSON a line; drops nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

    from tests.integration.site import Site

    uri, provider, folder = sys.argv[1:]
    site = Site(Path(folder), uri, "none", provider=provider)
    site.add_kek(1)
    if provider == "pkcs11":
        site.pkcs11 = {"module_path": "/nowhere.so", "token_label": "t", "pin": "unused-pin"}
    for line in sys.stdin:
        site.name = line.strip()
        site.write()
        try:
            result = site.call("kek_install_lock")
            answer = {"changed": result.changed, "lock": result.values["lock"]}
        except OpsError as refusal:
            answer = {"changed": False, "message": refusal.message}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
