# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config.yaml and secrets.env as the product reads them: the environment wins over the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import environment_file

KEK = re.compile(r"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V([1-9][0-9]*)")


@dataclass(frozen=True)
class Config:
    """What one process runs with. keks: version -> 32 bytes (env provider)."""

    provider: str
    uri: str = field(repr=False)
    database: str
    host: str
    port: int
    instance: str
    keks: dict[int, bytes] = field(repr=False)
    module_path: str = ""
    token_label: str = ""
    token_serial: str = ""
    iv_from_hsm: bool = False
    pin: str = field(default="", repr=False)
    pepper: str = field(default="", repr=False)
    tls_cert: str = ""
    tls_key: str = ""


def secrets_of(secrets_file: Path) -> dict[str, str]:
    """Return the variables of secrets.env. Raises SystemExit where others may read it."""
    if secrets_file.stat().st_mode & 0o077:
        raise SystemExit(f"error: {secrets_file} can be read by others, expected mode 0600")
    return environment_file.parse(secrets_file.read_text())


def load(config_file: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration of a process that has this environment."""
    document: dict[str, Any] = yaml.safe_load(config_file.read_text()) or {}
    tls = document.get("server", {}).get("tls", {})
    server, database = document.get("server", {}), document.get("database", {})
    encryption = document.get("encryption", {})
    pkcs11 = encryption.get("pkcs11", {})
    keks = {
        int(found[1]): bytes.fromhex(value) for name, value in environment.items() if (found := KEK.fullmatch(name))
    }
    return Config(
        provider=environment.get("CERTAUTOPILOT_ENCRYPTION_PROVIDER", encryption.get("provider", "env")),
        uri=environment.get("CERTAUTOPILOT_DATABASE_URI", database.get("uri", "")),
        database=database.get("name", "certautopilot"),
        host=server.get("host", "127.0.0.1"),
        port=int(server.get("port", 18181)),
        instance=server.get("instance_name") or os.uname().nodename,
        keks=keks,
        module_path=pkcs11.get("module_path", ""),
        token_label=pkcs11.get("token_label", ""),
        token_serial=str(pkcs11.get("token_serial") or ""),
        iv_from_hsm=pkcs11.get("use_gcm_iv_from_hsm") is True,
        pin=environment.get("CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN", ""),
        tls_cert=tls.get("cert_file", "") if tls.get("enabled") else "",
        tls_key=tls.get("key_file", ""),
        pepper=environment.get("CERTAUTOPILOT_API_KEY_PEPPER", ""),
    )
