# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of the kind that nearly all are, read in one straight line: this is what makes a rotation quick.

Plain is a document with one sound envelope of this provider, in the one catalogued field of its collection, stored in
the layout that we write. Whatever is not plain is no failure here: `batch.py` reads it by `Catalogue.envelopes`,
`parse` and `Sealing.requests`, which know every case and name what is wrong.

WHY: walk, parsing and request, each by a call of its own, take 2.3 of the 5.7 us of an envelope; this takes 1.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Union

from .._domain.catalogue import Catalogue, Found, is_alone, record_id_text
from .._domain.envelope import sound_parts
from .._domain.envelope_layout import DEFAULT, context_digest
from .._domain.values import Document
from .._installation.sealing import Sealing
from .._keys.provider import WRAP_LENGTH, UnwrapRequest

PlainReader = Callable[[Document], Union[tuple[Found, UnwrapRequest], None]]  # noqa: UP007 - Ansible's pylint knows no `|` outside of annotations


def plain_reader(sealing: Sealing, catalogue: Catalogue, collection: str, to_version: int) -> PlainReader:
    """Return a reader of a collection's plain documents: (envelope, request for its data key), None for any other.

    INVARIANT: what it reads is what the long way would have read; tests/unit/rotation/test_plain_documents.py compares.
    """
    field, ours = catalogue.sole_field(collection), sealing.provider.name
    if field is None or sealing.layout != DEFAULT:
        return _read_none
    sole, steps = field, (field,)

    def read(document: Document) -> tuple[Found, UnwrapRequest] | None:
        value = document.get(sole)
        parts = sound_parts(value, document.get("kek_version")) if value.__class__ is dict else None
        if parts is None or not is_alone(sole, document):
            return None
        wrapped, _nonce, _ciphertext, version, provider = parts
        if version == to_version or provider != ours or not isinstance(wrapped, bytes) or len(wrapped) != WRAP_LENGTH:
            return None
        record_id = document.get("_id")
        aad = context_digest(record_id_text(record_id), sole)
        return Found(collection, record_id, steps, value), UnwrapRequest(version, wrapped, aad)

    return read


def _read_none(_document: Document) -> None:
    """For collections without a sole field, and databases of another layout: everything goes the long way."""
