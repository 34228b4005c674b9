# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb scratch_installation: a database and keys for a rehearsal, and nothing of them afterwards.

present: 1 the database holds nothing; 2 it is noted that it is scratch. The installation itself is made as any other.
absent: 1 the note is there, and no import goes on; 2 the keys that its rows name are destroyed; 3 every collection is
dropped, the note last.
Kill it anywhere and run it again: it ends the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation import scratch_keys
from .._installation.import_turn import LEASE_NAME, LEASE_S
from .._installation.installation import open_database
from .._store import install_lock, leases, scratch_mark
from .._store.connection import Store
from .._store.scratch_mark import Scratch


@dataclass(frozen=True, slots=True)
class Options:
    """state: present or absent. of: install id of the installation that is rehearsed, for present."""

    state: str = "present"
    of: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Make or remove. Raises OpsError scratch.*, pkcs11.* and what opening a database raises."""
    with open_database(settings) as store:
        if options.state == "present":
            return _present(store, options.of, check=check)
        return _absent(settings, store, check=check)


def _present(store: Store, of: str, *, check: bool) -> Result:
    if not of:
        raise OpsError(
            "of is empty, expected the install id of the installation that is rehearsed",
            code="scratch.options",
            hint="kek_info of that installation returns it as lock.install_id",
        )
    found = scratch_mark.read(store)
    if found is not None:
        if found.of == of:
            return _result(found, [], before="scratch", after="scratch")
        raise OpsError(
            f'database "{store.name}" is scratch for a rehearsal of {found.of} since {found.made_at}, expected none or '
            f"one of {of}",
            code="scratch.taken",
            hint="remove that one by state absent, or choose another database",
        )
    names = [one.name for one in store.collections()]
    if names:
        raise OpsError(
            f'database "{store.name}" holds {len(names)} collections, the first: {names[0]}, expected nothing at all',
            code="scratch.not_empty",
            hint="choose the name of a database that does not exist; nothing was written",
        )
    made = Scratch(of, "") if check else scratch_mark.make(store, of)
    return _result(made, [], before="nothing", after="scratch")


def _absent(settings: Settings, store: Store, *, check: bool) -> Result:
    found = scratch_mark.read(store)
    if found is None:
        if store.collections():
            raise scratch_mark.not_scratch(store)
        return _result(None, [], before="nothing", after="nothing")
    keys = scratch_keys.made_by(store, found)
    lock = install_lock.read(store)
    if lock is not None and lock.install_id == found.of:
        raise scratch_mark.not_scratch(store)
    destroyed: list[str] = []
    if not check:
        # WHY: an import whose run was killed may go on for a while, and would write into what was just dropped. Without
        # its lease it stops.
        leases.acquire_within(store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5)
        destroyed = scratch_keys.destroy(settings, store, keys) if keys else []
        scratch_mark.drop_database(store)
    return _result(found, destroyed, before="scratch", after="nothing")


def _result(scratch: Scratch | None, destroyed: list[str], *, before: str, after: str) -> Result:
    values = {"scratch": scratch.as_result() if scratch is not None else {}, "keys_destroyed": destroyed}
    return Result(changed=before != after, values=values, before={"database": before}, after={"database": after})
