# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which a MongoDB server sorts `_id`, as far as a merge of two sorted streams needs it.

Source: MongoDB manual, "Comparison/Sort Order". A collation, or a type that is rare as `_id`, may sort otherwise on the
server: whoever merges by this order asks the server before it believes that something is missing.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from .._domain.values import BsonValue
from .driver import bson
from .record_bytes import id_key

Place: TypeAlias = tuple[int, object]
_NUMBER, _TEXT, _BINARY, _OBJECT_ID, _BOOLEAN, _DATE, _OTHER = range(7)


def place(record_id: BsonValue) -> Place:
    """Return what sorts as the server sorts this id; places are comparable with each other, whatever the types."""
    if isinstance(record_id, bson.ObjectId):
        return _OBJECT_ID, record_id.binary
    if isinstance(record_id, str):
        return _TEXT, record_id.encode("utf-8", "surrogatepass")
    if isinstance(record_id, bool):  # before int, which it also is
        return _BOOLEAN, record_id
    if isinstance(record_id, int | float | bson.Decimal128):
        return _number(record_id)
    if isinstance(record_id, bytes):
        return _BINARY, (len(record_id), getattr(record_id, "subtype", 0), bytes(record_id))
    if isinstance(record_id, datetime):
        return _DATE, record_id  # naive UTC, as records are read
    return _OTHER, id_key(record_id)


def _number(value: BsonValue) -> Place:
    """Integers, doubles and decimals compare by value; NaN sorts before them all."""
    number: int | float | Decimal = value.to_decimal() if isinstance(value, bson.Decimal128) else value
    is_nan = number.is_nan() if isinstance(number, Decimal) else math.isnan(number)
    return _NUMBER, (False, 0) if is_nan else (True, number)
