# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver says, turned into ours: one code, one sentence, one way out for each cause (X95).

No text of the driver or the server passes: it quotes values of records, or the URI. What decides is its type, the
server's code, and for TLS a list of known reasons.
Source: MongoDB's error codes, mongo/src/mongo/base/error_codes.yml.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._domain.errors import DatabaseRefused, OpsError, Unauthorized
from .driver import errors

NOT_ALLOWED = 13  # Unauthorized
_NOT_AUTHENTICATED = frozenset({11, 18, 334})  # UserNotFound, AuthenticationFailed, MechanismUnavailable
# InterruptedAtShutdown, InterruptedDueToReplStateChange, NotWritablePrimary, NotPrimaryNoSecondaryOk,
# NotPrimaryOrSecondary, PrimarySteppedDown, ShutdownInProgress, and NotPrimary of old servers
_NO_PRIMARY = frozenset({11600, 11602, 10107, 13435, 13436, 189, 91, 10058})
# LockTimeout, MaxTimeMSExpired, NetworkTimeout, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit
_TIMED_OUT = frozenset({24, 50, 89, 202, 262})
_WRITES_BLOCKED, _DISK_FULL = 371, 14031  # UserWritesBlocked, OutOfDiskSpace
_TOO_FEW_MEMBERS = frozenset({79, 100})  # UnknownReplWriteConcern, UnsatisfiableWriteConcern
_WRITE_CONCERN_FAILED = 64
# HostUnreachable, HostNotFound, CursorNotFound, LockBusy, WriteConflict, ReadConcernMajorityNotAvailableYet,
# CappedPositionLost, QueryPlanKilled, CursorKilled, SnapshotUnavailable, NoSuchTransaction, Interrupted,
# SocketException
_PASSING = frozenset({6, 7, 43, 46, 112, 134, 136, 175, 237, 246, 251, 11601, 9001})
_PASSING_LABELS = ("RetryableWriteError", "TransientTransactionError")
_TOO_LARGE = frozenset({10334, 17280})  # BSONObjectTooLarge, KeyTooLong
_INVALID_DOCUMENT = 121  # DocumentValidationFailure
_WRITES = frozenset({"insert", "update", "delete", "remove", "findAndModify", "bulkWrite", "create", "createIndexes"})
_COMMAND = r"to execute command \{ ?(\w{1,40}):|\(action: (\w{1,40})\)|^command (\w{1,40}) requires authentication"
_ADMIN = frozenset({"collMod", "dropDatabase", "validate", "compact", "reIndex"})
# WHY a list: the text of a certificate's refusal may hold names of its own.
_REASONS = {
    "unable to get": "a CA that this host does not trust issued it",
    "self-signed certificate in": "a CA that this host does not trust issued it",
    "self signed certificate in": "a CA that this host does not trust issued it",
    "self-signed": "it is signed by itself",
    "self signed": "it is signed by itself",
    "has expired": "it has expired",
    "not yet valid": "it is not valid yet",
    "mismatch": "it is for another name",
    "doesn't match": "it is for another name",
    "revoked": "it is revoked",
}


@dataclass(frozen=True, slots=True)
class Server:
    """hosts: (name, port). tls: whether the connection is to be encrypted."""

    hosts: tuple[tuple[str, int], ...] = ()
    tls: bool = False

    def shown(self) -> str:
        """Return the hosts for a message."""
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


@dataclass(frozen=True, slots=True)
class Place:
    """Where it happened. where: `database "x" at host:port`."""

    where: str
    server: Server


def is_about_the_command(failure: errors.OperationFailure) -> bool:
    """Return whether the server answers what it was asked, and does not say that it cannot be asked."""
    others = _NOT_AUTHENTICATED | _NO_PRIMARY | _TIMED_OUT | _PASSING | {NOT_ALLOWED, _WRITES_BLOCKED, _DISK_FULL}
    return _code_of(failure) not in others


def of_server(failure: errors.OperationFailure, place: Place, *, retry_hint: str) -> OpsError:
    """Return the failure for a server that answered, and refused."""
    code = _code_of(failure)
    said = f"server code {code}"
    if code in _NOT_AUTHENTICATED:
        return OpsError(
            f"{place.where} refused the credentials ({said})",
            code="database.authentication",
            hint="correct user, password and authSource in CERTAUTOPILOT_DATABASE_URI; a user is looked for in the "
            "database that authSource names, else in the URI's own, else in admin",
        )
    if code == NOT_ALLOWED:
        return _not_allowed(failure, place)
    if code in _NO_PRIMARY:
        return _no_primary(place, said)
    if code in _TIMED_OUT or isinstance(failure, (errors.ExecutionTimeout, errors.WTimeoutError)):
        return _timed_out(place, said, retry_hint)
    if code in {_WRITES_BLOCKED, _DISK_FULL, *_TOO_FEW_MEMBERS}:
        return _takes_no_writes(code, place, said)
    if code in _TOO_LARGE:
        return too_large(place)
    return _refused(failure, code, place, retry_hint=retry_hint)


def _takes_no_writes(code: int | None, place: Place, said: str) -> OpsError:
    if code == _WRITES_BLOCKED:
        return OpsError(
            f"{place.where} takes no writes at present ({said}), expected one that can be written",
            code="database.read_only",
            hint="an administrator has blocked writes (setUserWriteBlockMode): have it lifted, then run it again",
        )
    if code == _DISK_FULL:
        return OpsError(
            f"{place.where} has no space left on its disk ({said})",
            code="database.disk_full",
            hint="make space on the database's host, then run it again; what was written before it stays",
        )
    return OpsError(
        f"{place.where} cannot keep writes on a majority of its members ({said})",
        code="database.write_concern",
        hint="see rs.status() and rs.conf(): a majority of the members that hold data must be up",
    )


def too_large(place: Place) -> OpsError:
    """Return the failure for a document that no server of this kind stores."""
    return OpsError(
        f"{place.where} takes no document of more than 16 MiB, and one that was to be written is larger",
        code="database.too_large",
        hint="see the record that this step was at: its envelopes grow by some bytes under a new key or provider",
    )


def of_connection(failure: errors.ConnectionFailure, place: Place, said: Iterable[str], *, retry_hint: str) -> OpsError:
    """Return the failure for a server that did not answer. said: what the driver last heard of each server."""
    kind = type(failure).__name__
    if isinstance(failure, errors.NotPrimaryError):
        return _no_primary(place, kind)
    if isinstance(failure, (errors.NetworkTimeout, errors.WaitQueueTimeoutError)):
        return _timed_out(place, kind, retry_hint)
    heard = " ".join([str(failure), *said])
    return (
        _tls(place, heard)
        or _unresolved(place)
        or OpsError(
            f"{place.where} cannot be reached ({kind})",
            code="database.unreachable",
            hint=f"{retry_hint}; {_tls_hint(place)}",
            retryable=True,
        )
    )


def of_driver(failure: errors.PyMongoError, place: Place, *, retry_hint: str) -> OpsError:
    """Return the failure for what the driver refuses by itself."""
    kind = type(failure).__name__
    if isinstance(failure, errors.ConfigurationError) and "wire version" in str(failure):
        return OpsError(
            f"{place.where} is of a release that this driver does not speak with",
            code="database.incompatible",
            hint="see the driver's page on compatibility: upgrade pymongo for this interpreter, or the server",
        )
    return OpsError(
        f"{place.where}: the driver failed with {kind}",
        code="database.error",
        hint=f"check the data named in this step; {retry_hint}",
    )


def unresolved(names: str, *, passing: bool = False) -> OpsError:
    """Return the failure for names that DNS does not know. passing: DNS itself did not answer."""
    known = "DNS did not answer for" if passing else "DNS does not know"
    return OpsError(
        f"{known} {names}",
        code="database.unresolved",
        hint="correct the host in CERTAUTOPILOT_DATABASE_URI, or the name service of this host; mongodb+srv:// needs "
        "SRV records below _mongodb._tcp",
        retryable=passing,
    )


def _tls(place: Place, heard: str) -> OpsError | None:
    if "certificate verify failed" in heard or "CertificateError" in heard:
        reason = next((told for text, told in _REASONS.items() if text in heard), "this host does not accept it")
        return OpsError(
            f"{place.where} showed a certificate that is not trusted: {reason}",
            code="database.tls",
            hint="name the CA in `mongodb_tls_ca_file` or by tlsCAFile in the URI, and in the URI the name that the "
            "certificate is for; or have it renewed",
        )
    if re.search(r"\[SSL|_ssl\.c|SSL routines|SSLError|ALERT", heard):
        return OpsError(
            f"{place.where} broke off the TLS handshake",
            code="database.tls",
            hint="it may want a certificate of the client (`mongodb_tls_certificate_key_file`), another version of "
            "TLS, or no TLS at all: see its log",
        )
    return None


def _tls_hint(place: Place) -> str:
    if place.server.tls:
        return "if it speaks no TLS, the URI must not ask for it"
    return "if it speaks TLS only, add tls=true to the URI or set `mongodb_tls: true`"


def _unresolved(place: Place) -> OpsError | None:
    """Return the failure where no host's name is known. WHY ask again: the driver tells it by its text only."""
    answers = [_resolves(host, port) for host, port in place.server.hosts]
    if not answers or None in answers:
        return None
    names = ", ".join(host for host, _port in place.server.hosts)
    return unresolved(names, passing=socket.EAI_AGAIN in answers)


def _resolves(host: str, port: int) -> int | None:
    """Return None where the name is known, else the code of getaddrinfo."""
    try:
        socket.getaddrinfo(host, port)
    except socket.gaierror as cause:
        return cause.errno
    except (OSError, UnicodeError):
        return None
    return None


def _not_allowed(failure: errors.OperationFailure, place: Place) -> Unauthorized:
    """WHY the command from the server's text: nobody else says which, and only a word that is a command's is taken."""
    found = re.search(_COMMAND, str((failure.details or {}).get("errmsg", "")))
    command = next(filter(None, found.groups())) if found else ""
    role = "dbAdmin" if command in _ADMIN else "readWrite" if command in _WRITES else ""
    needs = f"give it {role} on this database" if role else "give it read or readWrite, and dbAdmin for kek_remove"
    return Unauthorized(
        f"{place.where} does not allow this user {command or 'what was asked'} (server code {NOT_ALLOWED})",
        hint=f"{needs}; docs/privileges.md lists what each module needs; a URI without a user is nobody's login",
    )


def _no_primary(place: Place, said: str) -> OpsError:
    return OpsError(
        f"{place.where} is not the primary at present ({said}), expected one that takes writes",
        code="database.not_primary",
        hint="run it again after the election; with directConnection=true or a single host in the URI, name all "
        "members and replicaSet instead",
        retryable=True,
    )


def _timed_out(place: Place, said: str, retry_hint: str) -> OpsError:
    return OpsError(
        f"{place.where} did not answer in time ({said})",
        code="database.timeout",
        hint=f"{retry_hint}; socketTimeoutMS and wTimeoutMS in the URI may be too short",
        retryable=True,
    )


def _refused(failure: errors.OperationFailure, code: int | None, place: Place, *, retry_hint: str) -> DatabaseRefused:
    passes = code in _PASSING or code == _WRITE_CONCERN_FAILED or any(map(failure.has_error_label, _PASSING_LABELS))
    ways = "a validator of the collection is in the way; " if code == _INVALID_DOCUMENT else ""
    return DatabaseRefused(
        f"{place.where} refused an operation (server code {code}, {type(failure).__name__}{_index_of(failure)})",
        hint=f"{ways}see the server's log for this code" + (f"; {retry_hint}" if passes else ""),
        retryable=passes,
    )


def _first_error(failure: errors.OperationFailure) -> Mapping[str, object]:
    """Return the first refused write of a batch: the batch's own code (65) says only that there is one."""
    details = failure.details or {}
    for one in (*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())):
        return one if isinstance(one, Mapping) else {}
    return {}


def _code_of(failure: errors.OperationFailure) -> int | None:
    code = _first_error(failure).get("code", failure.code)
    return code if isinstance(code, int) else None


def _index_of(failure: errors.OperationFailure) -> str:
    """Return the fields of the unique index that refused a write. Names of fields are in no need of hiding."""
    pattern = _first_error(failure).get("keyPattern")
    fields = list(pattern) if isinstance(pattern, Mapping) else []
    return f", a unique index over {', '.join(fields)} is in the way" if fields else ""
