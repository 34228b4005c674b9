# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pymongo's own bulk re-wrap, `ClientEncryption.rewrap_many_data_key`, in a process of its own. Prints JSON.

    python -m tests.performance.rival URI DATABASE N [FOLDER_WITH_PYMONGOCRYPT]

pymongocrypt is in no lock: `make bench` puts it into .build/bench-libs where an index has it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pymongo
from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions


def main() -> None:
    uri, database, number, *folders = sys.argv[1:]
    sys.path += folders
    try:
        import pymongocrypt  # noqa: F401  pymongo.encryption needs it
    except ImportError:
        print(json.dumps({"missing": "pymongocrypt is not installed"}))
        return
    client: Any = pymongo.MongoClient(uri)
    try:
        print(json.dumps(_measure(client, database, int(number))))
    finally:
        client.drop_database(database)
        client.close()


def _measure(client: Any, database: str, number: int) -> dict[str, Any]:
    from pymongo.encryption import ClientEncryption

    providers = {"local": {"key": os.urandom(96)}}
    with ClientEncryption(providers, f"{database}.keys", client, CodecOptions()) as encryption:
        encryption.create_data_key("local")
        keys = client[database]["keys"]
        # SAFE BECAUSE the local provider binds no id to a wrap: copies under new ids are keys like any other.
        first = keys.find_one()
        copies = [{**first, "_id": Binary(os.urandom(16), UUID_SUBTYPE)} for _number in range(number - 1)]
        keys.insert_many(copies, ordered=False)
        wall, cpu = time.perf_counter(), time.process_time()
        result = encryption.rewrap_many_data_key({}, provider="local")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        moved = result.bulk_write_result.modified_count if result.bulk_write_result else 0
    if moved != number:
        raise RuntimeError(f"rewrap_many_data_key moved {moved} keys of {number}")
    return {"wall_s": wall, "cpu_s": cpu}


if __name__ == "__main__":
    main()
