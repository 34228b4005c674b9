# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of an installation: each value knows where it came from, and two sources that disagree are a refusal. Pure.

The product lets one source win in silence; a tool that moves keys must not (T7). What no source gives is refused only
when a verb needs it. Files are read by `_module/configuration.py`; what only one provider reads is listed by its kind
in `_keys`. ADR-0003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import env_keks
from .errors import OpsError
from .mongodb_uri import parts_of
from .pin_text import require_typed
from .secret import Secret


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting and every place that may give it.

    name: of the setting and of the module's option. variable: of the environment and of secrets.env, "" for none. path:
    its keys in config.yaml, () for none. kind: type of the option. secret: held as `Secret`; the option NAME_file reads
    it from a private file. blanks: white space at its ends is legal. empty_code: of the refusal for an empty NAME_file.
    typed: what nobody can have typed is refused, see `pin_text.py`.
    """

    name: str
    variable: str = ""
    path: tuple[str, ...] = ()
    kind: str = "str"
    secret: bool = False
    blanks: bool = False
    empty_code: str = ""
    typed: bool = False

    @property
    def file_option(self) -> str:
        """Return the option that names a private file with this secret."""
        return f"{self.name}_file"


PROVIDER = Setting("provider", "CERTAUTOPILOT_ENCRYPTION_PROVIDER", ("encryption", "provider"))
DATABASE_URI = Setting(
    "mongodb_uri", "CERTAUTOPILOT_DATABASE_URI", ("database", "uri"), secret=True, empty_code="uri.empty"
)
DATABASE = Setting("mongodb_database", "CERTAUTOPILOT_DATABASE_NAME", ("database", "name"))
# Beside the URI, by options only: the service has no variable for them.
TLS = Setting("mongodb_tls", kind="bool")
TLS_CA_FILE = Setting("mongodb_tls_ca_file", kind="path")
TLS_KEY_FILE = Setting("mongodb_tls_certificate_key_file", kind="path")
SHARED = (PROVIDER, DATABASE_URI, DATABASE, TLS, TLS_CA_FILE, TLS_KEY_FILE)  # whatever the provider
LONGEST_S = 86_400  # of a setting that is a time


@dataclass(frozen=True, slots=True)
class Source:
    """One place that gives settings. name: for messages. variables: name -> value, KEK_V* among them."""

    name: str
    values: Mapping[Setting, str] = field(repr=False)
    variables: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings. values, hidden: setting name -> text, or Secret. origins: setting name -> source name.

    keks: version -> 32 bytes. secrets: the secrets file, NAME -> value. secrets_file, config_file: paths, None where
    there is none. hsm_environment: variables of the secrets file that a device's library reads, as the service does.
    service_uid: an owner of files who is trusted besides root, None for no other. device_launch: a command that starts
    whatever loads a device's library, () for a process of our own.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    keks: Mapping[int, Secret[bytes]] = field(default_factory=dict, repr=False)
    catalogue: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: Mapping[str, Secret[str]] = field(default_factory=dict, repr=False)
    secrets_file: str | None = None
    config_file: str | None = None
    hsm_environment: Mapping[str, str] = field(default_factory=dict)
    service_uid: int | None = None
    device_launch: tuple[str, ...] = ()

    def require(self, setting: Setting) -> str:
        """Return the text of a setting. Raises OpsError settings.missing."""
        value = self.values.get(setting.name)
        if value is None:
            raise missing(setting)
        return value

    def seconds(self, setting: Setting, default: float) -> float:
        """Return a setting that is a time, `default` where no source gives it. Raises OpsError settings.seconds."""
        text = self.values.get(setting.name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LONGEST_S:
            raise OpsError(
                f'{setting.name} is "{text}", expected whole seconds from 1 to {LONGEST_S} (from '
                f"{self.origins[setting.name]})",
                code="settings.seconds",
                hint="correct it, or leave it out",
            )
        return float(text)

    def require_hidden(self, setting: Setting) -> Secret[str]:
        """Return a setting that is secret. Raises OpsError settings.missing."""
        value = self.hidden.get(setting.name)
        if value is None:
            raise missing(setting)
        return value

    def require_database(self) -> tuple[Secret[str], str]:
        """Return (URI, database name). Raises OpsError settings.missing."""
        uri = self.require_hidden(DATABASE_URI)
        name = self.values.get(DATABASE.name) or parts_of(uri).database
        if not name:
            raise missing(DATABASE, or_else=", or a path in the URI")
        return uri, name


def resolve(
    sources: Sequence[Source],
    *,
    catalogue: Mapping[str, tuple[str, ...]] | None = None,
    secrets: Mapping[str, Secret[str]] | None = None,
    secrets_file: str | None = None,
    config_file: str | None = None,
    hsm_environment: Mapping[str, str] | None = None,
    service_uid: int | None = None,
) -> Settings:
    """Return the settings that all sources agree on. Raises OpsError settings.*, env_kek.*."""
    found: dict[Setting, Secret[str]] = {}
    origins: dict[str, str] = {}
    for source in sources:
        for setting, text in source.values.items():
            value = Secret(text)
            _refuse_blank(setting, value, source.name)
            if setting.typed:
                require_typed(value, origin=source.name)
            if found.setdefault(setting, value) != value:
                raise conflict(setting.name, origins[setting.name], source.name)
            origins.setdefault(setting.name, source.name)
    return Settings(
        values={setting.name: value.reveal() for setting, value in found.items() if not setting.secret},
        origins=origins,
        hidden={setting.name: value for setting, value in found.items() if setting.secret},
        keks=_keks(sources),
        catalogue=catalogue or {},
        secrets=secrets or {},
        secrets_file=secrets_file,
        config_file=config_file,
        hsm_environment=hsm_environment or {},
        service_uid=service_uid,
    )


def _keks(sources: Sequence[Source]) -> dict[int, Secret[bytes]]:
    keks: dict[int, Secret[bytes]] = {}
    origins: dict[int, str] = {}
    for source in sources:
        for version, key in env_keks.parse(source.variables, origin=source.name).items():
            if keks.setdefault(version, key) != key:
                raise conflict(f"KEK version {version}", origins[version], source.name)
            origins.setdefault(version, source.name)
    # WHY once more over all: two sources may give the same bytes to different versions.
    env_keks.refuse_twins(keks, "all sources together")
    return keks


def conflict(name: str, one: str, other: str) -> OpsError:
    """Return the refusal for two sources that disagree; the values may be secret and are not shown (T7)."""
    return OpsError(
        f"{name} differs between {one} and {other}",
        code="settings.conflict",
        hint="remove one of the two, or make them equal; neither wins",
    )


def missing(setting: Setting, *, or_else: str = "") -> OpsError:
    """Return the refusal for a setting that is needed and that no source gives: where to give it."""
    option = setting.file_option if setting.secret else setting.name
    place = f"{setting.variable} in secrets.env" if setting.secret else f"{'.'.join(setting.path)} in config.yaml"
    return OpsError(
        f"{setting.name} is not set by any source",
        code="settings.missing",
        hint=f"give option `{option}`, or {place}{or_else}",
    )


def _refuse_blank(setting: Setting, value: Secret[str], origin: str) -> None:
    if value.is_blank():
        raise OpsError(
            f"{setting.name} is empty (from {origin})",
            code="settings.empty",
            hint="an empty value is not the same as none: remove it, or fill it in",
        )
    if value.has_blank_ends() and not setting.blanks:
        raise OpsError(
            f"{setting.name} begins or ends with white space (from {origin})",
            code="settings.whitespace",
            hint="remove it there; it is part of the value otherwise",
        )
