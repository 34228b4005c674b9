# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role rotate: what a failure was, what is said of the rotation, and the options of a printed command.

Pure functions of what modules returned. None of them sees a secret: results of this collection hold none.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

import yaml

LISTED_AT_MOST = 20  # envelopes that cannot move
OVER = ("complete", "cancelled")  # states of a rotation that cannot be taken back
PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
PARTS = ("code", "msg", "hint", "step", "retryable")

Returned = Mapping[str, object]  # what a task registered


def first_failure(results: Iterable[Returned], fallback: Mapping[str, object]) -> dict[str, object]:
    """Return code, msg, hint, step and retryable of the first failed result that has them, else the fallback.

    results: in the order of the tasks. What require added to msg (code in front, hint behind) is taken off, so that the
    failure can be raised again.
    """
    for result in results:
        failure = result.get("failure")
        if result.get("failed") and isinstance(failure, Mapping):
            msg = str(result.get("msg", "")).removeprefix(f"{failure['code']}: ").removesuffix(f"; {failure['hint']}")
            return {"msg": msg, **{part: failure[part] for part in PARTS if part != "msg"}}
    return {part: fallback[part] for part in PARTS}


def rotation_story(
    evidence: Returned, to_version: int, forward: str, back: str, cancels: bool = False, kept: str = ""
) -> list[str]:
    """Return the lines that a failed rotation ends with: how far it came, what cannot move, and the way on.

    evidence: what kek_info returned. forward, back: the commands that complete the rotation and take it back; cancels:
    the failed run was one that takes back. kept: where the evidence is, "" when it was not kept.
    """
    rotation = _rotation_to(evidence, to_version)
    taken_back = _rotation_to(evidence, _active(evidence)) if cancels and not rotation else {}
    if taken_back and taken_back.get("state") not in OVER:
        # The record that moved last is the one of the rotation back, which is named for where it goes.
        lines = [_how_far_back(evidence, taken_back, to_version), *_listed(_failures(taken_back))]
        lines += [*([kept] if kept else []), "Fix the cause, then resume with:", back]
        return [*lines, "or complete it after all:", forward]
    lines = [_how_far(evidence, rotation, to_version), *_listed(_failures(rotation)), *([kept] if kept else [])]
    lines += ["Fix the cause, then resume with:", back if cancels else forward]
    if _can_be_cancelled(evidence, rotation, to_version):
        back_words = f"or take it back, while version {to_version} is not active:"
        lines += ["or complete it after all:", forward] if cancels else [back_words, back]
    return lines


def rotation_share(result: Returned, key_is_to_be_made: bool = False, check: bool = False) -> str:
    """Return what this host did. result: of kek_rotate, which was skipped where another host works alone."""
    rotation = result.get("rotation")
    if not isinstance(rotation, Mapping):
        return "the key would be made, then the envelopes re-wrapped" if key_is_to_be_made else "another host re-wraps"
    attempts = int(str(result.get("attempts") or 1))
    done = "sealed anew" if rotation.get("compromised") else "re-wrapped"
    said = f"{rotation['rewrapped']} envelope(s) {'would be' if check else 'were'} {done} by this host"
    return f"{said} at its last of {attempts} attempts" if attempts > 1 else said


def extra_vars(options: Mapping[str, Sequence[object]]) -> list[str]:
    """Return `-e …`, quoted for a shell, for each option whose value is not its default.

    options: name -> [default, value].
    """
    return [
        f"-e {shlex.quote(_word(name, value))}"
        for name, (default, value) in options.items()
        if str(default) != str(value)
    ]


def _word(name: str, value: object) -> str:
    """Return name=value, or YAML where that would lose the type.

    WHY name=value wherever it can be, and flow style: no callback has to escape anything in it, so it can be copied as
    it is printed.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if PLAIN.fullmatch(text):
        return f"{name}={text}"
    plain = json.loads(json.dumps({name: value}))  # the types of Ansible's own become those that YAML knows
    return yaml.safe_dump(plain, default_flow_style=True, width=float("inf")).strip()


def _rotation_to(evidence: Returned, to_version: int) -> Mapping[str, object]:
    """Return the rotation's record, empty when the last one went to another version or there was none."""
    rotation = evidence.get("rotation")
    return rotation if isinstance(rotation, Mapping) and rotation.get("to_version") == to_version else {}


def _active(evidence: Returned) -> int:
    active = evidence.get("active")
    return int(str(active.get("version", 0))) if isinstance(active, Mapping) else 0


def _how_far(evidence: Returned, rotation: Mapping[str, object], to_version: int) -> str:
    failure = evidence.get("failure")
    if isinstance(failure, Mapping):
        return f"how far it came could not be read: {failure['code']}: {evidence.get('msg')}; nothing was rolled back"
    if rotation:
        begun = (
            f"rotation {rotation['id']} is {rotation['state']}: {rotation['rewrapped']} envelope(s) re-wrapped so far, "
            f"{_elsewhere(evidence, to_version)} under other versions, {len(_failures(rotation))} of them cannot move"
        )
    else:
        begun = f"no rotation to version {to_version} has begun"
    return f"{begun}; version {_active(evidence)} is active; nothing was rolled back"


def _how_far_back(evidence: Returned, rotation: Mapping[str, object], to_version: int) -> str:
    envelopes = evidence.get("envelopes")
    by_version = envelopes["by_version"] if isinstance(envelopes, Mapping) else {}
    return (
        f"rotation to version {to_version} is being taken back: {rotation['rewrapped']} envelope(s) so far, "
        f"{by_version.get(str(to_version), 0)} still under it, {len(_failures(rotation))} of them cannot move; version "
        f"{_active(evidence)} is active"
    )


def _elsewhere(evidence: Returned, to_version: int) -> int:
    envelopes = evidence.get("envelopes")
    if not isinstance(envelopes, Mapping):
        return 0
    return int(envelopes["total"]) - int(envelopes["by_version"].get(str(to_version), 0))


def _failures(rotation: Mapping[str, object]) -> list[Mapping[str, object]]:
    failures = rotation.get("failures") or []
    return list(failures) if isinstance(failures, Iterable) else []


def _listed(failures: Sequence[Mapping[str, object]]) -> list[str]:
    lines = [f"{one['place']}: {one['code']}: {one['reason']}" for one in failures[:LISTED_AT_MOST]]
    more = len(failures) - LISTED_AT_MOST
    return [*lines, f"and {more} more"] if more > 0 else lines


def _can_be_cancelled(evidence: Returned, rotation: Mapping[str, object], to_version: int) -> bool:
    """Return whether the rotation is, or may be, unfinished. What could not be read may be."""
    unread = "failure" in evidence
    state = rotation.get("state", "unknown" if unread else "complete")
    return state not in OVER and _active(evidence) != to_version


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "first_failure": first_failure,
            "rotation_story": rotation_story,
            "rotation_share": rotation_share,
            "extra_vars": extra_vars,
        }
