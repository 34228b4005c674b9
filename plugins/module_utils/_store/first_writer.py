# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents that are written once: the first writer wins, and whoever came second reads what it wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from .._domain.errors import OpsError
from .._domain.values import BsonValue, Document
from .connection import Store, driver_errors
from .driver import errors

_ATTEMPTS = 10


def insert_if_absent(
    store: Store, collection: str, document_id: str, fields: Mapping[str, BsonValue]
) -> tuple[Document, bool]:
    """Return the document of this id and whether this call wrote it.

    WHY written again: of two upserts at once one may get a duplicate key, and the other's document need not be
    readable in that moment. The second upsert waits until it is, and changes nothing.
    """
    documents = store.collection(collection)
    for _attempt in range(_ATTEMPTS):
        with driver_errors(store), contextlib.suppress(errors.DuplicateKeyError):
            outcome = documents.update_one({"_id": document_id}, {"$setOnInsert": dict(fields)}, upsert=True)
            found: Document | None = documents.find_one({"_id": document_id})
            if found is not None:
                return found, outcome.upserted_id is not None
    raise OpsError(
        f'"{document_id}" in {collection} was written by others at the same time and cannot be read',
        code="database.refused",
        hint="run it again",
        retryable=True,
    )
