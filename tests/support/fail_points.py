# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moments at which tests kill, stop or overtake a process, by name; and how a process is made to end there.

A test names a moment, `write_batch`, and not the function that is called then: a function that moves is one line here.
tests/unit/support_parts/test_fail_points.py holds that each moment leads to a function of the collection.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

UTILS = "ansible_collections.certautopilot.ops.plugins.module_utils"

# name -> (module below module_utils, function or Class.method): what has not happened before the call, and has after it
FAIL_POINTS = {
    # leases
    "take_lease": ("_store.leases", "acquire"),  # another host may still be the holder
    "check_lease": ("_store.lease_renewal", "Keeper.require"),  # the last look at the lease before a write
    "release_lease": ("_store.leases", "release"),  # all work is done; the next host must wait until the lease expires
    # keystore, install lock, journal: every verb that makes or changes a version
    "insert_install_lock": ("_store.install_lock", "acquire"),  # the provider is chosen for ever
    "insert_keystore_row": ("_store.keystore", "insert_row"),  # the version exists for other hosts
    "make_first_version_active": ("_store.keystore", "initialise_active"),  # services may seal with it
    "repair_row_states": ("_store.keystore", "repair_states"),  # the rows say what the active version says
    "append_journal": ("_store.journal", "append"),  # what was done is on record
    # the first login on a host, one host at a time
    "read_pin_refusals": ("_store.pin_refusals", "find"),  # the turn is taken, the PIN not tried
    # kek_pkcs11_init
    "note_key_intent": ("_store.keystore", "ensure_intent"),  # a crash after this is finished by the next run
    "generate_hsm_key": ("_keys.pkcs11.provider", "Pkcs11Provider.generate_key"),  # the token has the key
    "load_hsm_key": ("_keys.pkcs11.provider", "Pkcs11Provider.load"),  # the key was found by its id and label
    "make_canary": ("_installation.canaries", "make_canary"),  # the key sealed a known value
    "drop_key_intent": ("_store.keystore", "drop_intent"),  # nothing is left to finish
    # kek_remove
    "destroy_hsm_key": ("_keys.pkcs11.provider", "Pkcs11Provider.destroy_key"),  # the token holds the key no more
    # kek_rotate, in the order of its story
    "join_rotation": ("_rotation.leadership", "lead_or_help"),  # settings are read; neither leader nor helper yet
    "write_rotation_record": ("_store.rotations", "begin"),  # the plan is in the database
    "lay_ranges": ("_store.ranges", "lay"),  # helpers find work
    "claim_range": ("_store.ranges", "claim"),  # the range belongs to this process
    "spend_wraps": ("_store.keystore", "spend"),  # the wraps of a batch are counted against the key's budget
    "write_batch": ("_store.records", "compare_and_set"),  # the fresh wraps of a batch are in the database
    "advance_rotation": ("_store.rotations", "advance"),  # the record says the next state
    "note_verification": ("_store.rotations", "verified"),  # the record says what the walk over everything found
    "swap_active": ("_store.keystore", "swap_active"),  # services seal with the new version: no way back
    "begin_settling": ("_store.rotations", "settling_since"),  # the time to settle has begun to count
    "read_heartbeats": ("_store.heartbeats", "read"),  # live processes were asked which version they write with
    "clear_ranges": ("_store.ranges", "clear"),  # nothing is left of the rotation but its record
    # data_export
    "write_bundle": ("_store.bundle", "write"),  # the records are in a file of the new folder
    "write_private_file": ("_store.private_files", "write_private"),  # the manifest is beside them
    "put_bundle_in_place": ("_verbs.data_export", "_swap"),  # the new folder has the bundle's name
    # db_backup
    "dump_collection": ("_dumps.dump", "write_collection"),  # one collection is in a file of the new folder
    "write_backup_manifest": ("_dumps.backup_manifest", "write"),  # the new folder is a finished backup
    "put_in_place": ("_store.private_files", "put_in_place"),  # the new folder has its name, or dest its content
    # db_restore
    "mark_restore": ("_store.restore_mark", "take"),  # no other verb works on the database
    "create_restored": ("_store.restored_metadata", "create"),  # the collections are there, empty
    "insert_restored": ("_store.restored_records", "Inserter.flush"),  # a batch of records is there
    "compare_restored": ("_store.restored_records", "tally_of"),  # the database was read once
    "advance_restore": ("_store.restore_mark", "advance"),  # the records are proven
    "make_restored_metadata": ("_store.restored_metadata", "make"),  # indexes, validators and views are there
    "unmark_restore": ("_store.restore_mark", "remove"),  # the restore has ended
    # data_import
    "begin_import": ("_store.imports", "begin"),  # the destination knows which bundle it gets
    "lower_metadata": ("_store.collection_metadata", "lower"),  # no unique index of an earlier pass is in the way
    "make_metadata": ("_store.collection_metadata", "make"),  # indexes and validators are there, the import not proven
    "insert_records": ("_store.records", "insert_many"),  # a batch of sealed records is in the destination
    "advance_import": ("_store.imports", "advance"),  # the import's record says the next state
}


def find(name: str) -> tuple[Any, str]:
    """Return what holds a moment's function, a module or a class, and the function's name there. Raises KeyError."""
    module, function = FAIL_POINTS[name]
    owner: Any = importlib.import_module(f"{UTILS}.{module}")
    *path, function = function.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, function


def replace(name: str, make: Callable[[Any], Any], put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace a moment's function by make(function), in its own module and wherever it was imported by name.

    put: how to set it, `monkeypatch.setattr` where it must be taken back. Only modules that are loaded see it.
    """
    owner, function = find(name)
    real = getattr(owner, function)
    new = make(real)
    places = {(owner, function)}
    for module in _loaded():
        places |= {(module, known) for known, value in vars(module).items() if value is real}
    for place, known in places:
        put(place, known, new)


def kill(name: str, at: str) -> None:
    """Make the moment the first thing this process does not do (at: "before"), or the last thing it does ("after")."""

    def last(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if at == "after":
                real(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        return call

    replace(name, last)


def stop_before(name: str, nth: int) -> None:
    """Make this process stop itself (SIGSTOP) just before the moment comes for the nth time."""

    def stopping(real: Any) -> Any:
        calls = iter(range(1, sys.maxsize))

        def call(*arguments: Any, **named: Any) -> Any:
            if next(calls) == nth:
                # WHY this thread: sent to the process, another thread may take it, and this one goes on for a moment.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            return real(*arguments, **named)

        return call

    replace(name, stopping)


def set_constants(constants: dict[str, Any]) -> None:
    """Set each constant wherever the collection's loaded modules have it. Raises SystemExit for one that none has."""
    for name, value in constants.items():
        having = [module for module in _loaded() if hasattr(module, name)]
        if not having:
            raise SystemExit(f"error: no module of the collection has {name}")
        for module in having:
            setattr(module, name, value)


def _loaded() -> list[Any]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(UTILS)]
