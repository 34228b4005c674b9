# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of a database's envelopes: found by authentication on a sample (ADR-0002), noted, and held to afterwards.

`remembered_layout` is the one to call. It tries the noted layout first, so that a healthy installation sends its HSM no
decryption that fails (X44); what does not open under it is tried under the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .._domain import envelope_layout
from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.envelope_layout import Layout
from .._domain.errors import Unauthorized
from .._keys.provider import Provider
from .._store import layout_record
from .._store.connection import Store
from .sealing import Sealing

Sample: TypeAlias = Sequence[tuple[Found, Envelope]]


def remembered_layout(
    store: Store, provider: Provider, sample: Sample, *, warn: Callable[[str], None], note: bool = True
) -> Layout:
    """Return the layout that was noted for this database if the sample opens under it, else the one that is found.

    A noted layout under which the sample does not open is named by `warn` and replaced. note: False writes nothing, for
    check mode and for verbs that only read; a user who may not write is no failure either. Raises LayoutUndetected.
    """
    name = layout_record.read(store)
    noted = next((layout for layout in envelope_layout.LAYOUTS if layout.name == name), None)
    found = detect_layout(provider, sample, first=noted)
    if name is not None and found.name != name:
        warn(f"layout {name} was noted for this database, but its envelopes open under {found.name}; that one is used")
    if note and found != noted and usable(provider, sample):
        note_layout(store, found)
    return found


def note_layout(store: Store, layout: Layout) -> None:
    """Note the layout that envelopes were opened or sealed under. A user who may not write goes on without."""
    with contextlib.suppress(Unauthorized):
        layout_record.note(store, layout.name)


def detect_layout(provider: Provider, sample: Sample, *, first: Layout | None = None) -> Layout:
    """Return the layout that opens every sampled envelope which opens under any layout at all.

    first: the layout to try before the others, and the answer to an empty sample (None: our own). An envelope that no
    layout opens is poisoned, not of another layout: the verb names it later. Raises LayoutUndetected when none opens,
    or when two layouts open different ones.
    """
    left = shown = usable(provider, sample)
    chosen = None if shown else first or envelope_layout.DEFAULT
    tried: list[tuple[str, int]] = []
    for layout in _candidates(shown, first):
        if not left:
            break
        closed = _closed_to(Sealing(provider, layout), left, trial=layout != first)
        tried.append((layout.name, len(left) - len(closed)))
        if len(closed) == len(left):
            continue
        if chosen is not None:
            raise envelope_layout.undetected(len(shown), tuple(tried))
        chosen, left = layout, closed  # GCM opens an envelope under one layout only: the rest need not see it again
    if chosen is None:
        raise envelope_layout.undetected(len(shown), tuple(tried))
    return chosen


def usable(provider: Provider, sample: Sample) -> Sample:
    """Return the envelopes that can open here: of this provider, under a version that is loaded."""
    loaded = provider.versions()
    return [(f, e) for f, e in sample if e.provider == provider.name and e.kek_version in loaded]


def _candidates(sample: Sample, first: Layout | None) -> list[Layout]:
    fitting = {layout for _found, envelope in sample for layout in envelope_layout.candidates(envelope)}
    known = [layout for layout in envelope_layout.LAYOUTS if layout in fitting]
    return sorted(known, key=lambda layout: layout != first)


def _closed_to(sealing: Sealing, sample: Sample, *, trial: bool) -> Sample:
    """Return those envelopes that do not open under the sealing's layout. trial: that they do not is no surprise."""
    requests = [sealing.unwrap_request(found, envelope) for found, envelope in sample]
    asked = [request for request in requests if request is not None]
    deks = iter(sealing.provider.unwrap(asked, trial=trial) if asked else [])
    closed = []
    for (found, envelope), request in zip(sample, requests, strict=True):
        dek = next(deks) if request is not None else None
        if not isinstance(dek, bytes) or not sealing.opens_payload(found, envelope, dek):
            closed.append((found, envelope))
    return closed
