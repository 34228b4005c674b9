# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every envelope of a walk opened, batch by batch, and what does not open counted and named.

    opener = EveryEnvelope(provider, lambda sample: remembered_layout(store, provider, sample, warn=warn))
    found = surveys.take(store, catalogue, each=opener.add)
    opener.finish()

The walk is read once: the first batch is the sample that shows the layout. Payloads are dropped as soon as they opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.envelope_layout import DEFAULT, Layout, LayoutUndetected
from .._domain.listing import LISTED_AT_MOST
from .._keys.provider import Provider
from .layout_detection import Sample, usable
from .opened_records import BATCH, BATCH_BYTES
from .sealing import Failure, Sealing
from .survey import SAMPLE_PER_FIELD


class EveryEnvelope:
    """failed: how many did not open. failures: the first LISTED_AT_MOST of them. opened: how many did.

    layout: None until an envelope showed it.
    """

    def __init__(self, provider: Provider, choose: Callable[[Sample], Layout]) -> None:
        self._provider = provider
        self._choose = choose
        self._sealing: Sealing | None = None
        self._undetected: LayoutUndetected | None = None
        self._pending: list[tuple[Found, Envelope]] = []
        self._bytes = 0
        self.opened = 0
        self.failed = 0
        self.failures: list[Failure] = []

    @property
    def layout(self) -> Layout | None:
        return self._sealing.layout if self._sealing is not None else None

    def add(self, found: Found, envelope: Envelope) -> None:
        """Take one envelope; opens a batch when one is full. Raises OpsError when the provider itself is ill."""
        self._pending.append((found, envelope))
        self._bytes += len(envelope.ciphertext)
        if len(self._pending) >= BATCH or self._bytes >= BATCH_BYTES:
            self._open()

    def finish(self) -> None:
        """Open what is left. Raises LayoutUndetected, only now, so that a caller may say first what else is wrong."""
        self._open()
        if self._undetected is not None:
            raise self._undetected

    def _open(self) -> None:
        batch, self._pending, self._bytes = self._pending, [], 0
        sealing = self._joined(batch) if batch else None
        if sealing is None:
            return
        failures = [outcome for outcome in sealing.open_all(batch) if isinstance(outcome, Failure)]
        self.opened += len(batch) - len(failures)
        self.failed += len(failures)
        self.failures.extend(failures[: LISTED_AT_MOST - len(self.failures)])

    def _joined(self, batch: Sample) -> Sealing | None:
        """Return provider and layout joined; None where no layout opens anything, which `finish` reports."""
        if self._sealing is None and self._undetected is None:
            shown = usable(self._provider, batch)
            if not shown:  # none of them can open, whatever the layout: a later batch will show it
                return Sealing(self._provider, DEFAULT)
            try:
                self._sealing = Sealing(self._provider, self._choose(_some_of_each_field(shown)))
            except LayoutUndetected as refusal:
                self._undetected = refusal
        return self._sealing


def _some_of_each_field(items: Sample) -> Sample:
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for found, envelope in items:
        seen[found.collection, found.field] += 1
        if seen[found.collection, found.field] <= SAMPLE_PER_FIELD:
            chosen.append((found, envelope))
    return chosen
