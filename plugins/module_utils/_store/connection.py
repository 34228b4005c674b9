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
from .._domain.errors import OpsError
from .._domain.secret import Secret
from .driver import Document, DriverObject, bson, errors, pymongo, record_codec
from .driver_failures import Place, Server, is_about_the_command, of_connection, of_driver, of_server, too_large
from .opening import NOTHING_BESIDE, Beside, client_of, connection_of


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

    def __init__(self, client: DriverObject, name: str, server: Server) -> None:
        self._client = client
        self.name = name
        self.hosts = server.shown()
        self.place = Place(f'database "{name}" at {self.hosts}', server)
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

    def last_heard(self) -> list[str]:
        """Return the driver's texts about servers that do not answer, for `driver_failures` only."""
        seen = self._client.topology_description.server_descriptions().values()
        return [str(server.error) for server in seen if server.error is not None]

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


def open_store(uri: Secret[str], database: str, beside: Beside = NOTHING_BESIDE) -> Store:
    """Return a connected store. Raises OpsError database.*, file.*: what `opening` and `driver_failures` raise."""
    connection = connection_of(uri, beside)
    client = client_of(connection)
    try:
        store = Store(client, database, connection.server)
    except errors.InvalidName:
        client.close()
        raise OpsError(
            f'"{database}" cannot be the name of a database',
            code="database.name",
            hint="correct `mongodb_database`, database.name in config.yaml or the path of the URI: it is not empty and "
            'has no blank, dot, "$", "/" or quote',
        ) from None
    try:
        store.server_time()
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def driver_errors(store: Store, *, retry_hint: str = "run it again when the database answers") -> Iterator[None]:
    """Turn the driver's errors into OpsError; no driver text passes, because it may hold values of records."""
    try:
        yield
    except errors.OperationFailure as failure:
        raise of_server(failure, store.place, retry_hint=retry_hint) from None
    except errors.ConnectionFailure as failure:
        raise of_connection(failure, store.place, store.last_heard(), retry_hint=retry_hint) from None
    except errors.DocumentTooLarge:
        raise too_large(store.place) from None
    except bson.errors.BSONError:
        # What reads records one by one names the one that is meant (`records.stream`, `records.scan`).
        raise OpsError(
            f"{store.place.where} holds something that cannot be decoded as BSON",
            code="record.undecodable",
            hint="kek_info names records that cannot be decoded; correct or remove them",
        ) from None
    except errors.PyMongoError as failure:
        raise of_driver(failure, store.place, retry_hint=retry_hint) from None


def refusal_of(store: Store, command: Document) -> str:
    """Run a command on the database; return why the server refuses it, "" where it does not.

    Raises OpsError database.*, where that is no answer to what was asked: not allowed, no primary, no connection.
    """
    with driver_errors(store):
        try:
            store.command(command)
        except errors.OperationFailure as failure:
            if not is_about_the_command(failure):
                raise
            return f"the server refused it with code {failure.code}"
    return ""
