# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of a database's envelopes, found by authentication on a sample (ADR-0002) and held to afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from .._domain import envelope_layout
from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.envelope_layout import Layout
from .._keys.provider import Provider
from .sealing import Sealing


def detect_layout(provider: Provider, sample: Sequence[tuple[Found, Envelope]]) -> Layout:
    """Return the layout that opens every sampled envelope which opens under any layout at all.

    An envelope that no layout opens is poisoned, not of another layout: the verb names it later. Raises OpsError
    layout.undetected when none opens, or when two layouts open different ones. An empty sample gives our own layout.
    """
    usable = [(f, e) for f, e in sample if e.provider == provider.name and e.kek_version in provider.versions()]
    if not usable:
        return envelope_layout.DEFAULT
    opened: dict[str, set[int]] = {}
    fitting = {name for _found, envelope in usable for name in (c.name for c in envelope_layout.candidates(envelope))}
    for tried in (known for known in envelope_layout.LAYOUTS if known.name in fitting):
        sealing = Sealing(provider, tried)
        opened[tried.name] = _opened_by(sealing, usable)
    anyone = set().union(*opened.values()) if opened else set()
    for name, indexes in opened.items():
        if anyone and indexes == anyone:
            return envelope_layout.by_name(name)
    raise envelope_layout.undetected(len(usable), tuple((name, len(indexes)) for name, indexes in opened.items()))


def _opened_by(sealing: Sealing, usable: Sequence[tuple[Found, Envelope]]) -> set[int]:
    requests = [(i, sealing.unwrap_request(found, envelope)) for i, (found, envelope) in enumerate(usable)]
    asked = [(i, request) for i, request in requests if request is not None]
    outcomes = sealing.provider.unwrap([request for _i, request in asked]) if asked else []
    indexes = set()
    for (index, _request), outcome in zip(asked, outcomes, strict=True):
        found, envelope = usable[index]
        if isinstance(outcome, bytes) and isinstance(sealing._payload(found, envelope, outcome), bytes):
            indexes.add(index)
    return indexes
