# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a dump decrypts: every envelope in its documents opened, whether they are read back or on their way.

proof = DumpProof(installation, warn)
proof.note(collection, raw)         # each document of the dump
found = proof.finish()              # the survey of what is in it
"""

from __future__ import annotations

from collections.abc import Callable

from .._domain.what_travels import BOOKKEEPING
from .every_envelope import EveryEnvelope
from .installation import Installation
from .layout_detection import remembered_layout
from .opened_records import unreadable
from .sealing import Failure
from .survey import Survey


class DumpProof:
    """Opens what passes. Versions and counts are those of the envelopes that passed, not of the database (X2)."""

    def __init__(self, installation: Installation, warn: Callable[[str], None]) -> None:
        self._catalogue = installation.catalogue
        self._found = Survey()
        self._opener = EveryEnvelope(
            installation.provider,
            lambda sample: remembered_layout(installation.store, installation.provider, sample, warn=warn, note=False),
        )

    def note(self, collection: str, raw: bytes) -> None:
        """Take one document. Raises OpsError when the provider itself is ill."""
        if collection not in BOOKKEEPING:
            self._found.note_raw(self._catalogue, collection, raw, self._opener.add)

    def finish(self) -> Survey:
        """Return what passed. Raises OpsError catalogue.outside, record.unreadable, LayoutUndetected."""
        self._found.require_catalogued()
        self._opener.finish()
        failures = [*(Failure(**anomaly) for anomaly in self._found.anomalies), *self._opener.failures]
        if failures:
            raise unreadable(failures, len(self._found.anomalies) + self._opener.failed)
        return self._found
