# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""X42: large records are worked on a few at a time, however many a batch may count. Measured: the resident set."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from tests.support import mongodump_forms
from tests.support.processes import repository_environment
from tests.support.sealed import credential

RESIDENT = Path(__file__).parents[1] / "processes" / "resident.py"
RECORDS, MIB = 40, 1024 * 1024
# An answer of the server, of 16 MiB, and 2 MiB of records as bytes, decoded, opened and as frames, with the record that
# overflows each; the records together have 120 MiB, and were held all at once, some of them twice.
BOUND = 96  # MiB beyond what the interpreter takes


@pytest.fixture
def stocked(empty_env_site):
    """40 records of 3 MiB, half of it sealed."""
    for _number in range(RECORDS):
        sealed = credential(empty_env_site.keks[1], os.urandom(3 * MIB // 2))
        empty_env_site.db.dns_credentials.insert_one({**sealed, "attachment": os.urandom(3 * MIB // 2)})
    return empty_env_site


@pytest.fixture
def destination(new_site):
    site = new_site()
    site.add_kek(1)
    site.write()
    site.call("kek_install_lock")
    return site


def grown(site, verb, **options):
    """Return by how many MiB a process grew that ran the verb."""
    params = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
    done = subprocess.run(
        [sys.executable, RESIDENT],
        input=json.dumps({"verb": verb, "params": params, "options": options}),
        env=repository_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    return told["peak"] - told["before"]


def test_large_records_are_backed_up_exported_and_imported_in_bounded_memory(stocked, destination, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity"
    path.touch(mode=0o600)
    path.write_text(f"{identity}\n")
    bundle = {"src": str(tmp_path / "bundle"), "identity_file": str(path), "trust": "bundle"}

    took = {
        "kek_info": grown(stocked, "kek_info", digest=True),
        "db_backup": grown(stocked, "db_backup", dest=str(tmp_path / "backup")),
        "data_export": grown(stocked, "data_export", dest=bundle["src"], recipients=[str(identity.to_public())]),
        "data_import": grown(destination, "data_import", **bundle),
        "data_import again": grown(destination, "data_import", **bundle),
    }
    stocked.db.dns_credentials.update_many({}, {"$set": {"changed": True}})
    changed = {"src": str(tmp_path / "changes"), "base": bundle["src"]}
    recipients = [str(identity.to_public())]
    took["changes exported"] = grown(
        stocked, "data_export", dest=changed["src"], base=bundle["src"], recipients=recipients
    )
    took["changes imported"] = grown(destination, "data_import", **{**bundle, **changed})

    assert {verb: size for verb, size in took.items() if size > BOUND} == {}, took
    assert destination.db.dns_credentials.count_documents({}) == RECORDS


@pytest.mark.parametrize("form", ["whole backup", "packed archive"])
def test_large_records_are_restored_in_bounded_memory(stocked, new_site, tmp_path, form, monkeypatch):
    target, dump, options = new_site(), tmp_path / "dump", {}
    target.write()
    took = {}
    if form == "whole backup":
        identity, path = pyrage.x25519.Identity.generate(), tmp_path / "identity"
        path.touch(mode=0o600)
        path.write_text(f"{identity}\n")
        sealed = {"recipients": [str(identity.to_public())], "encrypt": "all"}
        took["db_backup"] = grown(stocked, "db_backup", dest=str(dump), **sealed)
        options["identity_file"] = str(path)
    else:
        monkeypatch.setattr(mongodump_forms, "crc64", fast_crc64)
        mongodump_forms.write_archive(stocked.db, dump, packed=True)

    took["db_restore"] = grown(target, "db_restore", src=str(dump), **options)

    assert {verb: size for verb, size in took.items() if size > BOUND} == {}, took
    assert target.db.dns_credentials.count_documents({}) == RECORDS


def fast_crc64(content):
    """Return the CRC-64 that liblzma puts at the end of an .xz file's block."""
    packed = lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC64, preset=0)
    index = (int.from_bytes(packed[-8:-4], "little") + 1) * 4  # the footer tells how long the index before it is
    return int.from_bytes(packed[-12 - index - 8 : -12 - index], "little")
