# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One installation for a test: its files, its database, and a way to run any verb on it as a module would.

The path is the module's own: files are read by `_module.configuration`, settings resolved, the verb run. Only Ansible's
argument parsing is left out; tests/integration/modules covers that.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pymongo
import yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration

GATED = ("kek_rotate",)
VERBS = "ansible_collections.certautopilot.ops.plugins.module_utils._verbs"


class Site:
    """An installation on the test's database server. keks: env KEK bytes by version."""

    def __init__(self, folder: Path, uri: str, database: str, *, provider: str = "env") -> None:
        self.folder = folder
        self.uri = uri
        self.name = database
        self.provider = provider
        self.keks: dict[int, bytes] = {}
        self.secrets: dict[str, str] = {}
        self.pkcs11: dict[str, str] = {}
        self.warnings: list[str] = []
        self.client: Any = pymongo.MongoClient(uri)
        self.db = self.client[database]
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def secrets_file(self) -> Path:
        return self.folder / "secrets.env"

    def add_kek(self, version: int, kek: bytes | None = None) -> bytes:
        self.keks[version] = kek if kek is not None else os.urandom(32)
        return self.keks[version]

    def write(self) -> None:
        """Write config.yaml and secrets.env as they now are."""
        encryption: dict[str, Any] = {"provider": self.provider}
        if self.pkcs11:
            encryption["pkcs11"] = {name: value for name, value in self.pkcs11.items() if name != "pin"}
        self.config_file.write_text(yaml.safe_dump({"database": {"name": self.name}, "encryption": encryption}))
        lines = {"CERTAUTOPILOT_DATABASE_URI": self.uri, **self.secrets}
        for version, kek in self.keks.items():
            lines[f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V{version}"] = kek.hex()
        if "pin" in self.pkcs11:
            lines["CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN"] = self.pkcs11["pin"]
        self.secrets_file.touch(mode=0o600)
        self.secrets_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def call(self, verb: str, *, check: bool = False, overrides: dict[str, Any] | None = None, **options: Any) -> Any:
        """Run a verb as its module would; return its Result or let its OpsError through."""
        params = {"config_file": str(self.config_file), "secrets_file": str(self.secrets_file), **(overrides or {})}
        if verb in GATED:
            options.setdefault("allow_empty_fleet", True)  # most tests have no service; those of the gate say otherwise
        if verb == "data_import" and not options.get("manifest_sha256"):
            options.setdefault("trust", "bundle")  # most tests are not about who made it; those of trust say otherwise
        operation = importlib.import_module(f"{VERBS}.{verb}")
        settings = configuration.settings_from(params, environment={}, warn=self.warnings.append)
        return operation.run(settings, operation.Options(**options), check=check, warn=self.warnings.append)

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """Return everything in the database but leases, to compare before and after."""
        names = sorted(set(self.db.list_collection_names()) - {"locks"})
        return {name: list(self.db[name].find(sort=[("_id", 1)])) for name in names}
