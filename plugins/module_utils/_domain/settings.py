# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of an installation: each value knows where it came from, and two sources that disagree are a refusal. Pure.

The product lets one source win in silence; a tool that moves keys must not (T7). What no source gives is refused only
when a verb needs it. Reading files is `_module/configuration.py`'s work. ADR-0003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from . import env_keks
from .errors import OpsError
from .pkcs11_settings import Pkcs11Settings

PROVIDERS = ("env", "pkcs11")
OPTION = {
    "provider": "provider",
    "mongodb_uri": "mongodb_uri_file",
    "mongodb_database": "mongodb_database",
    "pkcs11_module_path": "pkcs11_module_path",
    "pkcs11_token_label": "pkcs11_token_label",
    "pkcs11_token_serial": "pkcs11_token_serial",
    "pkcs11_pin": "pkcs11_pin_file",
}
_BLANKS_ALLOWED = ("pkcs11_pin", "pkcs11_token_label")  # legal at the ends of both: the token decides


@dataclass(frozen=True, slots=True)
class Source:
    """One place that gives settings. name: for messages. values: setting name -> text. variables: KEK_V* and others."""

    name: str
    values: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. values: setting name -> text. origins: setting name -> source name.

    keks: version -> bytes. secrets: the secrets file as it is. secrets_file: its path, None where there is none.
    hsm_environment: variables of the secrets file that the HSM vendor's library reads; the service has them too.
    """

    values: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str]
    keks: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    catalogue: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets_file: str | None = None
    hsm_environment: Mapping[str, str] = field(default_factory=dict)

    def require_provider(self) -> str:
        """Return "env" or "pkcs11". Raises OpsError settings.missing, settings.unknown_provider."""
        provider = self._require("provider", "encryption.provider in config.yaml")
        if provider not in PROVIDERS:
            raise OpsError(
                f'unknown provider "{provider}", expected "env" or "pkcs11" (from {self.origins["provider"]})',
                code="settings.unknown_provider",
                hint="correct encryption.provider",
            )
        return provider

    def require_database(self) -> tuple[str, str]:
        """Return (URI, database name). Raises OpsError settings.missing."""
        uri = self._require("mongodb_uri", "CERTAUTOPILOT_DATABASE_URI in secrets.env")
        name = self.values.get("mongodb_database") or database_in(uri)
        if not name:
            raise self._missing("mongodb_database", "database.name in config.yaml, or a path in the URI")
        return uri, name

    def require_env_keks(self) -> Mapping[int, bytes]:
        """Return version -> 32 bytes. Raises OpsError settings.missing when no KEK is configured."""
        if not self.keks:
            raise OpsError(
                f"no {env_keks.PREFIX}N in the secrets file or the environment",
                code="settings.missing",
                hint="point `secrets_file` at the installation's secrets.env",
            )
        return self.keks

    def require_pkcs11(self) -> Pkcs11Settings:
        """Return the HSM's settings. Raises OpsError settings.missing, settings.module_path."""
        path = self._require("pkcs11_module_path", "encryption.pkcs11.module_path in config.yaml")
        if not path.startswith("/"):
            raise OpsError(
                f'module path "{path}" is not absolute (from {self.origins["pkcs11_module_path"]})',
                code="settings.module_path",
                hint="a relative path would load whatever lies in the current folder",
            )
        return Pkcs11Settings(
            module_path=path,
            token_label=self._require("pkcs11_token_label", "encryption.pkcs11.token_label in config.yaml"),
            token_serial=self.values.get("pkcs11_token_serial", ""),
            pin=self._require("pkcs11_pin", "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN in secrets.env"),
            environment=self.hsm_environment,
        )

    def _require(self, name: str, where: str) -> str:
        value = self.values.get(name)
        if value is None:
            raise self._missing(name, where)
        return value

    def _missing(self, name: str, where: str) -> OpsError:
        return OpsError(
            f"{name} is not set by any source",
            code="settings.missing",
            hint=f"give option `{OPTION[name]}`, or {where}",
        )


def resolve(
    sources: Sequence[Source],
    *,
    catalogue: Mapping[str, tuple[str, ...]] | None = None,
    secrets: Mapping[str, str] | None = None,
    secrets_file: str | None = None,
    hsm_environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings that all sources agree on. Raises OpsError settings.*, env_kek.*."""
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    keks: dict[int, bytes] = {}
    kek_origins: dict[int, str] = {}
    for source in sources:
        for name, value in source.values.items():
            _refuse_blank(name, value, source.name)
            if name in values and values[name] != value:
                raise conflict(name, origins[name], source.name)
            values.setdefault(name, value)
            origins.setdefault(name, source.name)
        for version, key in env_keks.parse(source.variables, origin=source.name).items():
            if version in keks and keks[version] != key:
                raise conflict(f"KEK version {version}", kek_origins[version], source.name)
            keks.setdefault(version, key)
            kek_origins.setdefault(version, source.name)
    # WHY once more over all: two sources may give the same bytes to different versions.
    env_keks.parse({f"{env_keks.PREFIX}{v}": key.hex() for v, key in keks.items()}, origin="all sources together")
    return Settings(values, origins, keks, catalogue or {}, secrets or {}, secrets_file, hsm_environment or {})


def conflict(name: str, one: str, other: str) -> OpsError:
    """Return the refusal for two sources that disagree; the values may be secret and are not shown (T7)."""
    return OpsError(
        f"{name} differs between {one} and {other}",
        code="settings.conflict",
        hint="remove one of the two, or make them equal; neither wins",
    )


def database_in(uri: str) -> str:
    """Return the database named in a URI's path, "" where it names none."""
    try:
        return unquote(urlsplit(uri).path.lstrip("/"))
    except ValueError:
        return ""


def _refuse_blank(name: str, value: str, origin: str) -> None:
    if not value.strip():
        raise OpsError(
            f"{name} is empty (from {origin})",
            code="settings.empty",
            hint="an empty value is not the same as none: remove it, or fill it in",
        )
    if value != value.strip() and name not in _BLANKS_ALLOWED:
        raise OpsError(
            f"{name} begins or ends with white space (from {origin})",
            code="settings.whitespace",
            hint="remove it there; it is part of the value otherwise",
        )
