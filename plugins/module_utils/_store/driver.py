# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that imports the MongoDB driver, so that every other file can be imported without it.

A missing or old driver is reported by `_module/dependencies.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol, TypeAlias

from .._domain.values import Document

try:
    import bson
    import bson.json_util
    import pymongo
    from bson.codec_options import CodecOptions, DatetimeConversion
    from bson.raw_bson import RawBSONDocument
    from pymongo import errors
except ImportError:
    bson = pymongo = CodecOptions = DatetimeConversion = RawBSONDocument = errors = None  # type: ignore[assignment,misc]

__all__ = [
    "Document",
    "DriverObject",
    "Raw",
    "RawBSONDocument",
    "bson",
    "errors",
    "pymongo",
    "raw_codec",
    "record_codec",
]

DriverObject: TypeAlias = Any
"""A client, a collection or a codec of the driver, whose own types say more than we check."""


class Raw(Protocol):
    """A document that was not decoded."""

    @property
    def raw(self) -> bytes: ...


# WHY remembered: it is asked for with each document, and to make one takes longer than to decode a small document.
@cache
def record_codec() -> DriverObject:
    """Return the codec for records: BSON types survive a round trip, instants outside year 1-9999 included."""
    return CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


@cache
def raw_codec() -> DriverObject:
    """Return the codec for records that are not decoded."""
    return record_codec().with_options(document_class=RawBSONDocument)
