# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation in an HSM to break: made once, copied for each case, and looked at afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.certautopilot.ops.plugins.module_utils._domain import aead, envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.installation import (
    open_database,
    opened_keys,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import WrapRequest
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration
from ansible_collections.certautopilot.ops.plugins.module_utils._store import install_lock

from tests.integration.site import Site
from tests.integration.token import Token
from tests.support import hsm_shim
from tests.support.softhsm import configuration as softhsm_conf

RECORDS = 20
FIELD = "encrypted_api_key"


def _remove(site: Site) -> tuple[str, dict[str, Any]]:
    key = site.db.kek_versions.find_one({"_id": 2})["key"]
    typed = key["check_value"]
    return "kek_remove", {"version": 2, "grace": 0, "destroy_key": True, "check_value": typed}


# What is run: version 3 is made, records move to version 2, all is looked at, version 2 (not in use) is destroyed.
VERBS: Mapping[str, Callable[[Site], tuple[str, dict[str, Any]]]] = {
    "init": lambda _site: ("kek_pkcs11_init", {"version": 3}),
    "rotate": lambda _site: ("kek_rotate", {"to_version": 2, "workers": 2}),
    "verify": lambda _site: ("kek_verify", {"allow_empty_fleet": True}),
    "remove": _remove,
}
KEYS_AFTER = {"init": [1, 2, 3], "rotate": [1, 2], "verify": [1, 2], "remove": [1]}


@dataclass(frozen=True)
class Template:
    """A token folder and the documents of its database."""

    tokens: Path
    label: str
    documents: Mapping[str, list[dict[str, Any]]]

    def copy(self, folder: Path, site: Site) -> Token:
        """Return a token of the case's own, with the database filled beside it."""
        folder.mkdir(parents=True)
        shutil.copytree(self.tokens, folder / "tokens")
        for name, documents in self.documents.items():
            if documents:
                site.db[name].insert_many(documents)
        return Token(str(softhsm_conf(folder)), self.label)


def prepared(folder: Path, site: Site, library: str) -> Template:
    """Make versions 1 and 2, and records under version 1."""
    folder.mkdir(parents=True)
    token = Token(str(softhsm_conf(folder)), "kek-token")
    token.oracle("init")
    os.environ.update({"SOFTHSM2_CONF": token.conf, **hsm_shim.environment()})
    site.provider, site.pkcs11 = "pkcs11", token.settings(module_path=library)
    site.write()
    for version in (1, 2):
        site.call("kek_pkcs11_init", version=version)
    site.db.dns_credentials.insert_many(_sealed(site))
    template = Template(folder / "tokens", token.label, site.documents())
    site.client.drop_database(site.name)
    return template


def _sealed(site: Site) -> list[dict[str, Any]]:
    with _opened(site) as installation:
        found = []
        for number in range(RECORDS):
            context = envelope_layout.context_digest(f"r{number}", FIELD)
            dek = aead.fresh_dek()
            nonce, ciphertext = aead.seal(dek, f"secret {number}".encode(), context)
            [wrapped] = installation.provider.wrap(1, [WrapRequest(dek, context)])
            envelope = {"wrapped_dek": wrapped, "nonce": nonce, "ciphertext": ciphertext, "provider": "pkcs11"}
            found.append({"_id": f"r{number}", "kek_version": 1, FIELD: {**envelope, "kek_version": 1, "kv": 1}})
        return found


class _opened:  # noqa: N801 - used as a function
    def __init__(self, site: Site) -> None:
        params = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
        self._settings = configuration.settings_from(params, environment={}, warn=site.warnings.append)

    def __enter__(self) -> Any:
        self._store = open_database(self._settings)
        store = self._store.__enter__()
        self._keys = opened_keys(self._settings, store, install_lock.read(store))
        return self._keys.__enter__()

    def __exit__(self, *ended: Any) -> None:
        self._keys.__exit__(*ended)
        self._store.__exit__(*ended)


def broken(site: Site, token: Token, verb: str) -> list[str]:
    """Return what is wrong in token and database after the run without the fault."""
    wrong = []
    keys = token.keys()
    labels = sorted(key["label"] for key in keys)
    expected = [f"certautopilot-kek-v{version}" for version in KEYS_AFTER[verb]]
    if labels != expected:
        wrong.append(f"the token holds {labels}, expected {expected}")
    versions = set(site.db.dns_credentials.distinct("kek_version"))
    if versions != {2 if verb == "rotate" else 1}:
        wrong.append(f"records are under {versions}")
    if site.db.dns_credentials.count_documents({}) != RECORDS:
        wrong.append("records are missing")
    wrong += _unopened(site, token)
    intents = [row["_id"] for row in site.db.kek_versions.find() if str(row["_id"]).startswith("intent")]
    return wrong + ([f"left behind: {intents}"] if intents else [])


def _unopened(site: Site, token: Token) -> list[str]:
    """Return the records whose secret is not what it was, as PyKCS11 opens their wraps."""
    found = list(site.db.dns_credentials.find())
    version = found[0]["kek_version"] if found else 0
    contexts = {record["_id"]: envelope_layout.context_digest(record["_id"], FIELD) for record in found}
    try:
        deks = token.oracle(
            "open", label=f"certautopilot-kek-v{version}",
            wraps=[bytes(record[FIELD]["wrapped_dek"]).hex() for record in found],
            aads=[contexts[record["_id"]].hex() for record in found],
        )  # fmt: skip
        opened = {
            record["_id"]: aead.open_sealed(
                bytes.fromhex(dek), record[FIELD]["nonce"], record[FIELD]["ciphertext"], contexts[record["_id"]]
            )
            for record, dek in zip(found, deks, strict=True)
        }
    except Exception as failure:  # noqa: BLE001 - whatever it is, a record is lost
        return [f"records do not open: {type(failure).__name__}"]
    lost = [name for name, secret in opened.items() if secret != f"secret {name[1:]}".encode()]
    return [f"records hold something else: {lost}"] if lost else []
