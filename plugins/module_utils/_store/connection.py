# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to one installation's database, with the driver's errors turned into ours.

Write concern is majority with journal for everything written through it; time is the server's. Opened by `open_store`,
closed by whoever opened it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from .._domain.dumped import COLLECTION, TIME_SERIES
from .._domain.errors import DatabaseRefused, OpsError, Unauthorized
from .._domain.secret import Secret
from .driver import Document, DriverObject, bson, errors, pymongo, record_codec

SERVER_SELECTION_TIMEOUT_MS = 10_000
_NOT_ALLOWED, _NOT_AUTHENTICATED = 13, 18  # codes of the server: Unauthorized, AuthenticationFailed


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """kind: COLLECTION, VIEW or TIME_SERIES. options: as it was created, MongoDB's names. Source: listCollections."""

    name: str
    kind: str
    options: Document


def _info(entry: Document) -> CollectionInfo:
    options = dict(entry.get("options") or {})
    # WHY also by option: the test server lists a time series as a collection.
    kind = TIME_SERIES if "timeseries" in options else str(entry.get("type", COLLECTION))
    return CollectionInfo(str(entry["name"]), kind, options)


class Store:
    """One database of one server. `name` and `hosts` are safe to print; the URI is not kept."""

    def __init__(self, client: DriverObject, name: str, hosts: str) -> None:
        self._client = client
        self.name = name
        self.hosts = hosts
        # WHY said here: a service's URI may send its reads to a secondary, which may be behind, or ask for less than
        # what a majority has; what we read decides about keys (X12).
        self._database = client.get_database(
            name, codec_options=record_codec(), write_concern=pymongo.WriteConcern(w="majority", j=True),
            read_concern=pymongo.read_concern.ReadConcern("majority"), read_preference=pymongo.ReadPreference.PRIMARY,
        )  # fmt: skip

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def collection(self, name: str, *, codec: DriverObject = None) -> DriverObject:
        """Return the driver's collection object, for this floor only."""
        return self._database.get_collection(name, codec_options=codec)

    def create_collection(self, name: str) -> None:
        """Create an empty collection, for this floor only."""
        self._database.create_collection(name)

    def command(self, document: Document) -> Document:
        """Run a command on this database and return the server's answer, for this floor only."""
        return self._database.command(document)  # type: ignore[no-any-return]

    def watch(self, pipeline: Sequence[Document], token: object, *, wait_ms: int) -> DriverObject:
        """Return a change stream over this database, for this floor only. token: where to begin, None: now."""
        return self._database.watch(pipeline, resume_after=token, max_await_time_ms=wait_ms)

    def collections(self) -> tuple[CollectionInfo, ...]:
        """Return what the database calls collections, the server's own left out, sorted by name."""
        with driver_errors(self):
            found = [_info(entry) for entry in self._database.list_collections()]
        return tuple(sorted((one for one in found if not one.name.startswith("system.")), key=lambda one: one.name))

    def collection_names(self) -> tuple[str, ...]:
        """Return the names of the collections that keep documents of their own, sorted."""
        return tuple(one.name for one in self.collections() if one.kind == COLLECTION)

    def indexes(self, collection: str) -> list[Document]:
        """Return the indexes of a collection as the server tells them, the one over `_id` among them."""
        with driver_errors(self):
            return [dict(index) for index in self.collection(collection).list_indexes()]

    def view_names(self) -> tuple[str, ...]:
        """Return the names of views and time series, which show documents that are kept elsewhere, sorted (X13)."""
        return tuple(one.name for one in self.collections() if one.kind != COLLECTION)

    def server_time(self) -> datetime:
        """Return the server's clock as naive UTC, the form BSON stores."""
        with driver_errors(self):
            return self._client.admin.command("hello")["localTime"]  # type: ignore[no-any-return]


def open_store(uri: Secret[str], database: str) -> Store:
    """Return a connected store. Raises OpsError database.uri_invalid, database.unreachable, database.unauthorized."""
    try:
        client: DriverObject = pymongo.MongoClient(
            uri.reveal(),
            serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
            appname="certautopilot.ops",
            tz_aware=False,
        )
        parsed = pymongo.uri_parser.parse_uri(uri.reveal(), warn=False)
        hosts = ", ".join(f"{host}:{port}" for host, port in parsed["nodelist"])
    except (errors.PyMongoError, ValueError, TypeError):
        # SAFE BECAUSE the cause is dropped: the driver's text may quote the URI and with it the password.
        raise OpsError(
            "the MongoDB URI cannot be parsed",
            code="database.uri_invalid",
            hint="percent-encode user and password (RFC 3986), as in mongodb://user:p%40ss@host:27017/name",
        ) from None
    store = Store(client, database, hosts)
    try:
        store.server_time()
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def driver_errors(store: Store, *, retry_hint: str = "run it again when the database answers") -> Iterator[None]:
    """Turn the driver's errors into OpsError; no driver text passes, because it may hold values of records."""
    where = f'database "{store.name}" at {store.hosts}'
    try:
        yield
    except errors.OperationFailure as failure:
        if failure.code in (_NOT_ALLOWED, _NOT_AUTHENTICATED):
            raise _unauthorized(where, failure.code) from None
        raise DatabaseRefused(
            f"{where} refused an operation ({_refused_because(failure)})",
            hint="see the server's log for this code; " + retry_hint,
            retryable=True,
        ) from None
    except errors.ConnectionFailure as failure:
        raise OpsError(
            f"{where} cannot be reached ({type(failure).__name__})",
            code="database.unreachable",
            hint=retry_hint,
            retryable=True,
        ) from None
    except bson.errors.BSONError:
        # What reads records one by one names the one that is meant (`records.stream`, `records.scan`).
        raise OpsError(
            f"{where} holds something that cannot be decoded as BSON",
            code="record.undecodable",
            hint="kek_info names records that cannot be decoded; correct or remove them",
        ) from None
    except errors.PyMongoError as failure:
        raise OpsError(
            f"{where}: the driver failed with {type(failure).__name__}",
            code="database.error",
            hint="check the data named in this step; " + retry_hint,
        ) from None


def _refused_because(failure: errors.OperationFailure) -> str:
    """Return the code; of a batch that of its first refused write, with the fields of the unique index that refused it.

    WHY no more of what the server says: it quotes values of records. Names of fields are in no need of hiding.
    """
    first = ((failure.details or {}).get("writeErrors") or [{}])[0]
    code, fields = first.get("code", failure.code), list(first.get("keyPattern") or ())
    index = f", a unique index over {', '.join(fields)} is in the way" if fields else ""
    return f"server code {code}, {type(failure).__name__}{index}"


def refusal_of(store: Store, command: Document) -> str:
    """Run a command on the database; return why the server refuses it, "" where it does not.

    Raises OpsError database.unauthorized, .unreachable, .error: those are no answers to what was asked.
    """
    with driver_errors(store):
        try:
            store.command(command)
        except errors.OperationFailure as failure:
            if failure.code in (_NOT_ALLOWED, _NOT_AUTHENTICATED):
                raise
            return f"the server refused it with code {failure.code}"
    return ""


def _unauthorized(where: str, code: int | None) -> Unauthorized:
    if code == _NOT_ALLOWED:
        return Unauthorized(
            f"{where} does not allow this user what was asked (server code {code})",
            hint="give the user readWrite on this database, and dbAdmin for kek_remove; a URI without a user is "
            "nobody's login",
        )
    return Unauthorized(
        f"{where} refused the credentials (server code {code})", hint="correct CERTAUTOPILOT_DATABASE_URI"
    )
