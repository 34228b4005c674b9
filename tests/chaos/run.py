# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole run: install, put under load, rotate twice under fire, judge; `python -m tests.chaos` calls it."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.integration.site import Site
from tests.support.oracle import digest

from . import judging
from .killing import Plan, Rotation, Told
from .scene import BEAT_S, VERSIONS, Load, Scene, scene


@dataclass(frozen=True)
class Size:
    """envelopes: at least so many. kills: at least so many must hit a running rotation. The rest: see Plan."""

    envelopes: int
    kills: int
    load: Load
    span_s: float
    hsm_share: int
    lease_s: int
    limit_s: float


FULL = Size(20_000, 20, Load(), span_s=3.0, hsm_share=1_500, lease_s=5, limit_s=900.0)
SHORT = Size(600, 4, Load(2, 10.0, 20.0), span_s=1.0, hsm_share=300, lease_s=2, limit_s=120.0)


def run(site: Site, size: Size, seed: int) -> dict[str, Any]:
    """Return the counts of a run; `wrong` is empty when everything held."""
    told, wrong = Told(), []
    rng = random.Random(seed)
    with scene(site) as stage:
        stage.install(size.envelopes)
        before = judging.fingerprints(site)
        for mode in ("api", "worker"):
            stage.serve(mode)
        stage.work(size.load)
        for to_version, processes in ((2, 1), (3, 2)):
            # WHY one more than asked for: the last one waits for the swap and may come after the end
            kills = size.kills // 2 + 1
            pace = {"span_s": size.span_s, "hsm_share": size.hsm_share, "lease_s": size.lease_s}
            plan = Plan(to_version, processes, kills, **pace, limit_s=size.limit_s)
            Rotation(stage, plan, rng, told).run()
            wrong += _complete(site, to_version)
            if told.wrong or wrong:
                break
        time.sleep(4 * BEAT_S)  # so that writes under the last version are among those that are judged
        wrong += [*told.wrong, *stage.end_work()]
        verdict = judging.judge(site, before, judging.written(stage.write_logs), VERSIONS[-1])
        acknowledged = judging.acknowledged_by_version(stage.write_logs)
        wrong += _tried(stage, acknowledged, told, size)
        wrong += _run_again(site, verdict)
        reads = stage.reads()
    return {
        "wrong": [*wrong, *verdict.places],
        "seed": seed,
        "kills": sum(told.kills.values()),
        "kills_by_state": dict(sorted(told.kills.items())),
        "kills_of_a_lease_holder": told.holders,
        "kills_too_late": told.late,
        "retryable_failures": dict(sorted(told.failures.items())),
        "envelopes": verdict.envelopes,
        "unreadable": verdict.envelopes - verdict.opened,
        "records_untouched": verdict.untouched,
        "writes_acknowledged": sum(acknowledged.values()),
        "writes_by_version": dict(sorted(acknowledged.items())),
        "writes_lost": verdict.wrong["lost write"],
        "reads": reads["opened"],
        "reads_failed": reads["failed"],
        "tail": {version: count for version, count in verdict.by_version.items() if version != VERSIONS[-1]},
    }


def _complete(site: Site, to_version: int) -> list[str]:
    """Return what kek_info says other than that this rotation is complete and its version active."""
    values = site.call("kek_info").values
    rotation, active = values["rotation"] or {}, values["active"] or {}
    shown = (rotation.get("id"), rotation.get("state"), active.get("version"))
    expected = (f"to-{to_version}", "complete", to_version)
    return [] if shown == expected else [f"kek_info shows {shown}, expected {expected}"]


def _tried(stage: Scene, acknowledged: Counter[int], told: Told, size: Size) -> list[str]:
    """Return what was not put to the test: a run that nobody disturbed proves nothing."""
    wrong = [f"no write under version {version} was acknowledged" for version in VERSIONS if not acknowledged[version]]
    reads, kills = stage.reads(), sum(told.kills.values())
    if reads["failed"] or not reads["opened"]:
        wrong.append(f"reads: {reads}")
    if kills < size.kills:
        wrong.append(f"only {kills} kills hit a running rotation, {size.kills} were wanted")
    return wrong


def _run_again(site: Site, verdict: judging.Verdict) -> list[str]:
    """Rotate again: it moves the tail that writers left, and then nothing at all."""
    wrong, last = [], VERSIONS[-1]
    tail = verdict.envelopes - verdict.by_version[last]
    moved = site.call("kek_rotate", to_version=last, allow_empty_fleet=False).values["rotation"]["rewrapped"]
    if moved != tail:
        wrong.append(f"the next run moved {moved} envelopes, {tail} were left")
    standing = digest(site.db)
    again = site.call("kek_rotate", to_version=last, allow_empty_fleet=False)
    if again.changed or digest(site.db) != standing:
        wrong.append("a run after the end changed something")
    states = {row["_id"]: row["state"] for row in site.db.kek_rotations.find()}
    if states != {"to-2": "complete", "to-3": "complete"}:
        wrong.append(f"rotations: {states}")
    return wrong
