# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The turn to migrate a database: one run has it, the others are told who; two imports at once carry once (X22)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._store import leases
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import data_import

from tests.support.age_keys import public_of

ALICE = {"run": "aaaaaaaaaaaa", "run_by": {"user": "alice", "host": "$one", "pid": "11", "started": "5"}}
BOB = {"run": "bbbbbbbbbbbb", "run_by": {"user": "bob", "host": "two", "pid": "22"}}
DYING = Path(__file__).parents[1] / "processes" / "dying.py"
PEPPER = "CERTAUTOPILOT_API_KEY_PEPPER"


def turn(site, who, state="taken", **options):
    return site.call("migration_turn", **who, state=state, **options)


def refused(site, who, state="taken", **options):
    with pytest.raises(OpsError) as refusal:
        turn(site, who, state, **options)
    return refusal.value


def test_x22_the_second_run_is_told_who_has_the_turn_since_when_and_the_way_out(empty_env_site):
    mine = turn(empty_env_site, ALICE).values["turn"]
    before = list(empty_env_site.db.locks.find())

    refusal = refused(empty_env_site, BOB)
    checked = refused(empty_env_site, BOB, token=mine["token"], state="kept")

    assert (refusal.code, refusal.retryable) == ("migration.held", True)
    for told in (f'"{empty_env_site.name}"', "aaaaaaaaaaaa of alice on $one (process 11)", mine["since"]):
        assert told in refusal.message
    assert mine["expires_at"] in refusal.hint
    assert refusal.facts["holder"]["run_by"]["started"] == "5"
    assert checked.code == "migration.turn_lost"
    assert list(empty_env_site.db.locks.find()) == before


def test_x22_a_turn_that_is_given_back_or_ran_out_or_is_taken_over_by_name_goes_to_the_next(empty_env_site):
    first = turn(empty_env_site, ALICE).values["turn"]
    turn(empty_env_site, ALICE, "given_back", token=first["token"])
    second = turn(empty_env_site, BOB).values["turn"]
    wrong_name = refused(empty_env_site, ALICE, take_over="cccccccccccc")
    third = turn(empty_env_site, ALICE, take_over=BOB["run"], expires_after=1).values["turn"]
    time.sleep(1.2)
    fourth = turn(empty_env_site, BOB).values["turn"]

    assert wrong_name.code == "migration.held"
    assert [one["token"] for one in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert refused(empty_env_site, ALICE, "kept", token=3).code == "migration.turn_lost"
    assert not turn(empty_env_site, ALICE, "given_back", token=3).changed
    assert not turn(empty_env_site, BOB, "kept", token=4).changed


def test_x22_a_turn_that_ran_out_and_that_nobody_took_is_this_runs_still(empty_env_site):
    mine = turn(empty_env_site, ALICE, expires_after=1).values["turn"]
    time.sleep(1.2)

    kept = turn(empty_env_site, ALICE, "kept", token=mine["token"]).values["turn"]

    assert kept["token"] == mine["token"]
    assert refused(empty_env_site, BOB).code == "migration.held"


def test_x22_a_run_that_asks_twice_changes_nothing_and_a_check_takes_nothing(empty_env_site):
    predicted = turn(empty_env_site, ALICE, check=True)
    nobody = empty_env_site.db.locks.find_one({"_id": "kek-migration"})
    first, again = turn(empty_env_site, ALICE), turn(empty_env_site, ALICE)

    assert nobody is None
    assert (predicted.changed, first.changed, again.changed) == (True, True, False)
    assert predicted.after == first.after == {"run": ALICE["run"]}
    assert again.values["turn"]["token"] == first.values["turn"]["token"]
    with pytest.raises(OpsError) as refusal:
        turn(empty_env_site, BOB, check=True)
    assert refusal.value.code == "migration.held"


@pytest.mark.parametrize("options", [{"expires_after": 0}, {"run": ""}], ids=str)
def test_what_cannot_be_a_turn_is_refused(empty_env_site, options):
    assert refused(empty_env_site, {**ALICE, **options}).code == "migration.options"


def test_x22_two_imports_at_once_write_carried_values_once(env_site, empty_env_site, identity):
    """Both have read the secrets file before either may write: the lease is held until both wait for it."""
    env_site.secrets[PEPPER] = "pepper-of-the-source"
    env_site.write()
    bundle = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(bundle), recipients=(public_of(identity),), carry=(PEPPER,))
    params = {"config_file": str(empty_env_site.config_file), "secrets_file": str(empty_env_site.secrets_file)}
    options = {"src": str(bundle), "identity_file": str(identity), "trust": "bundle"}
    order = {"params": params, "verb": "data_import", "options": options, "fail_point": None, "at": "", "constants": {}}
    with open_store(Secret(empty_env_site.uri), empty_env_site.name) as store:
        mine = leases.acquire(store, data_import.LEASE_NAME)
        runs = [
            subprocess.Popen([sys.executable, DYING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _number in range(2)
        ]
        for process in runs:
            process.stdin.write(json.dumps(order))
            process.stdin.close()
        began = [process.stdout.readline() for process in runs]
        time.sleep(4)  # until both have read the files and ask for the lease
        unwritten = PEPPER not in empty_env_site.secrets_file.read_text()
        leases.release(store, mine)
        statuses = [process.wait(timeout=60) for process in runs]
        for process in runs:
            process.stdout.close()

    assert began == ["begun\n"] * 2
    assert unwritten
    assert statuses == [0, 0]
    assert empty_env_site.secrets_file.read_text().count(f"{PEPPER}=pepper-of-the-source\n") == 1
    assert not empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity)).changed
