# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a connection is opened: the URI's options looked at one by one, TLS files as they are on this host (X33, X95).

The driver passes over an option that it does not understand, and goes on without what it asked for: `tls=yes` would be
a connection in clear. Here it is refused by name; values are not shown, because a password may be among them.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._domain.errors import OpsError
from .._domain.mongodb_uri import SRV, TLS_FILES, MongodbUri, parts_of, weak_points
from .._domain.secret import Secret
from .._domain.settings import DATABASE_URI, TLS, TLS_CA_FILE, TLS_KEY_FILE, Settings, conflict
from .driver import DriverObject, errors, pymongo
from .driver_failures import Server, unresolved
from .private_files import read_trusted

SERVER_SELECTION_TIMEOUT_MS = 10_000
_GO_CONNECT = "connect"  # of the service's driver; ours has another option of that name


@dataclass(frozen=True, slots=True)
class Beside:
    """What is said beside the URI, None where nothing is. uid: an owner of files who is trusted besides root."""

    tls: bool | None = None
    ca_file: str | None = None
    key_file: str | None = None
    uid: int | None = None


NOTHING_BESIDE = Beside()


@dataclass(frozen=True, slots=True)
class Connection:
    """uri: as it was given. options: of the client, beside it. parts: of the URI, with what is said beside it."""

    uri: Secret[str]
    options: Mapping[str, Any]
    parts: MongodbUri
    uid: int | None

    @property
    def server(self) -> Server:
        """Return the server, for failures."""
        return Server(self.parts.addresses(), self.parts.tls())


def beside(settings: Settings) -> Beside:
    """Return what the settings say beside the URI."""
    tls = settings.values.get(TLS.name)
    return Beside(
        tls=None if tls is None else tls.lower() == "true",
        ca_file=settings.values.get(TLS_CA_FILE.name),
        key_file=settings.values.get(TLS_KEY_FILE.name),
        uid=settings.service_uid,
    )


def connection_of(uri: Secret[str], said: Beside) -> Connection:
    """Return the connection that both ask for. Raises OpsError settings.conflict."""
    parts = parts_of(uri)
    options: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for setting, name, given in (
        (TLS, "tls", said.tls),
        (TLS_CA_FILE, "tlsCAFile", said.ca_file),
        (TLS_KEY_FILE, "tlsCertificateKeyFile", said.key_file),
    ):
        if given is None:
            continue
        text = str(given).lower() if setting is TLS else str(given)
        in_uri = parts.options.get(name.lower(), parts.options.get("ssl") if setting is TLS else None)
        if in_uri not in (None, text):
            raise conflict(name, f"option `{setting.name}`", "the database's URI")
        options[name], texts[name.lower()] = given, text
    if parts.options.get(_GO_CONNECT, "").lower() == "direct":
        options["directConnection"] = True
    return Connection(uri, options, replace(parts, options={**parts.options, **texts}), said.uid)


def client_of(connection: Connection) -> DriverObject:
    """Return a client that has not connected yet. Raises OpsError database.uri_*, database.tls_file, file.*."""
    refuse_options(connection.parts)
    for name in TLS_FILES:
        if name in connection.parts.options:
            read_trusted(Path(connection.parts.options[name]), service_uid=connection.uid)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they are about was looked at above
            return pymongo.MongoClient(
                connection.uri.reveal(),
                serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
                appname="certautopilot.ops",
                tz_aware=False,
                **connection.options,
            )
    except ssl.SSLError:
        raise _unusable_files(connection.parts) from None
    except (errors.PyMongoError, ValueError, TypeError, OSError) as cause:
        # SAFE BECAUSE the cause is dropped: the driver's text may quote the URI and with it the password.
        raise _refused(cause, connection.parts) from None


def refuse_options(parts: MongodbUri) -> None:
    """Raises OpsError database.uri_option for an option that the driver would pass over, and that matters."""
    for name in parts.options:
        if not _is_understood(name, parts.options[name]) and (_is_known(name) or name.startswith(("tls", "ssl"))):
            raise OpsError(
                f"option {_safe(name)} of the database's URI has a value that the driver does not take, or is none "
                "that it knows",
                code="database.uri_option",
                hint="correct it: the driver would go on without it; MongoDB's page on connection strings lists them",
            )


def passed_over(parts: MongodbUri) -> list[str]:
    """Return the names of options that the driver does not know and that may do without it."""
    return [_safe(name) for name in parts.options if not _is_known(name) and not name.startswith(("tls", "ssl"))]


def _is_understood(name: str, value: str) -> bool:
    if name in TLS_FILES or (name == _GO_CONNECT and value.lower() in ("direct", "automatic")):
        return True  # files are looked at where they are read
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pymongo.uri_parser.validate_options({name: value})
    except (errors.PyMongoError, ValueError, TypeError, OSError):
        return False
    return True


def _is_known(name: str) -> bool:
    return name in {known.lower() for known in pymongo.uri_parser.URI_OPTIONS}


def _safe(name: str) -> str:
    """Return a name of an option if it is one. WHY: behind a `?` in a password comes the rest of the password."""
    return name if name.isalnum() and name.isascii() and len(name) <= 40 else "(not shown)"


def _unusable_files(parts: MongodbUri) -> OpsError:
    files = ", ".join(parts.options[name] for name in TLS_FILES if name in parts.options)
    return OpsError(
        f"{files} cannot be used for TLS, expected certificates in PEM, and for a client its key beside its own",
        code="database.tls_file",
        hint="correct `mongodb_tls_ca_file`, `mongodb_tls_certificate_key_file` or the files that the URI names",
    )


def _refused(cause: Exception, parts: MongodbUri) -> OpsError:
    text = str(cause)
    if parts.scheme == SRV and "DNS" in text:
        # The driver tells a name that does not exist and a server that is silent by the same type.
        return unresolved(", ".join(parts.hosts), passing="lifetime" in text or "timed out" in text)
    if "dnspython" in text:
        return OpsError(
            "the Python library dnspython is missing, which the driver needs for mongodb+srv://",
            code="dependency.missing",
            hint="install it for that interpreter; the role certautopilot.ops.runtime brings it",
        )
    if "Private key" in text:
        return _unusable_files(parts)
    if isinstance(cause, errors.ConfigurationError) and not isinstance(cause, errors.InvalidURI):
        return OpsError(
            "options of the database's URI exclude each other",
            code="database.uri_option",
            hint="directConnection=true goes with one host only, and tls=false without other options of TLS",
        )
    return OpsError(
        "the MongoDB URI cannot be parsed",
        code="database.uri_invalid",
        hint="percent-encode user and password (RFC 3986), as in mongodb://user:p%40ss@host:27017/name; ports are "
        "numbers up to 65535, options are name=value",
    )


def warn_of_connection(settings: Settings, warn: Callable[[str], None]) -> None:
    """Warn of what is weak about the connection, and of options that have no effect here.

    Raises OpsError settings.conflict.
    """
    if DATABASE_URI.name not in settings.hidden:
        return
    parts = connection_of(settings.hidden[DATABASE_URI.name], beside(settings)).parts
    for sentence in weak_points(parts):
        warn(sentence)
    for name in passed_over(parts):
        warn(f"option {name} of the database's URI is unknown to this driver and has no effect here")
