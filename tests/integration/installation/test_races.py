# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts at once: of two first starts one wins, and of several that make one key one makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pymongo
import pytest

ROUNDS = 200
PROCESSES = Path(__file__).parents[1] / "processes"
RACER, INITIALISER = PROCESSES / "racer.py", PROCESSES / "initialiser.py"
VERSIONS = 10  # of one database, made one after the other by all hosts at once


def test_of_two_first_starts_with_different_providers_one_wins_200_times(server, tmp_path):
    racers = {
        provider: subprocess.Popen(
            [sys.executable, str(RACER), server.uri, provider, str(tmp_path / provider)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for provider in ("env", "pkcs11")
    }  # fmt: skip
    prefix = server.new_name("race")
    won = {"env": 0, "pkcs11": 0}

    try:
        for number in range(ROUNDS):
            for racer in racers.values():
                racer.stdin.write(f"{prefix}_{number}\n")
                racer.stdin.flush()
            outcomes = {provider: json.loads(racer.stdout.readline()) for provider, racer in racers.items()}
            winner = judge(outcomes)
            won[winner] += 1
    finally:
        for racer in racers.values():
            racer.stdin.close()
            racer.wait(timeout=30)

    assert sum(won.values()) == ROUNDS


def judge(outcomes):
    """Return the winner of one round; the other must have read the exact text about it."""
    winners = [provider for provider, outcome in outcomes.items() if outcome["changed"]]
    assert len(winners) == 1, outcomes
    (loser,) = set(outcomes) - set(winners)
    since = outcomes[winners[0]]["lock"]["installed_at"]
    assert outcomes[loser]["message"] == (
        f'KEK provider mismatch: installed="{winners[0]}" (since {since}) but config says "{loser}". '
        "Provider is immutable after install."
    )
    return winners[0]


class Hosts:
    """Processes that run a verb on one database and one token at the same time. `start` begins a fresh pair of both."""

    def __init__(self, count, server, token, folder):
        self._server, self._token, self._numbers = server, token, iter(range(1000))
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(INITIALISER), server.uri, str(folder / f"host{number}")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for number in range(count)
        ]  # fmt: skip
        self._client = pymongo.MongoClient(server.uri)
        self._made = []

    def start(self):
        """Return a fresh token, and let all hosts meet on it and on a fresh database."""
        self.token = replace(self._token, label=f"race-{next(self._numbers)}")
        self.token.oracle("init")
        self._made.append(self._server.new_name("init"))
        return self.token

    @property
    def database(self):
        return self._client[self._made[-1]]

    def run(self, *verbs):
        """Run one (verb, options) on each host at once; return what each answered."""
        for process, (verb, options) in zip(self._processes, verbs, strict=True):
            order = {"database": self._made[-1], "pkcs11": self.token.settings(), "verb": verb, "options": options}
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in self._processes]

    def close(self):
        for process in self._processes:
            process.stdin.close()
            process.wait(timeout=30)
        for name in self._made:
            self._client.drop_database(name)
        self._client.close()


@pytest.fixture
def hosts(server, token, tmp_path):
    started = []

    def start(count):
        started.append(Hosts(count, server, token, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.close()


def made_once(answers):
    """Return whether one host made the key and each other one found it, the same key."""
    return [answer.get("changed") for answer in answers].count(True) == 1 and all(
        answer.get("changed") is not None and answer["key"] == answers[0]["key"] for answer in answers
    )


@pytest.mark.parametrize(("count", "rounds"), [(2, ROUNDS), (4, 2 * VERSIONS)])
def test_x50_of_hosts_that_make_one_version_at_once_one_makes_it_and_the_others_change_nothing(hosts, count, rounds):
    racing, refused = hosts(count), []

    for _database in range(rounds // VERSIONS):
        token = racing.start()
        for version in range(1, VERSIONS + 1):  # the first round of each database is a first start of all hosts
            answers = racing.run(*[("kek_pkcs11_init", {"version": version})] * count)
            refused += [] if made_once(answers) else [answers]
        made = token.keys()
        labels = sorted(key["label"] for key in made)

        assert labels == sorted(f"certautopilot-kek-v{version}" for version in range(1, VERSIONS + 1))
        rows = {row["_id"] for row in racing.database.kek_versions.find()}
        assert rows == {"active", *range(1, VERSIONS + 1)}  # and no intent is left
    assert refused == []


def test_x50_a_first_start_that_locks_the_database_does_not_disturb_one_that_makes_the_key(hosts):
    racing = hosts(2)

    for _round in range(VERSIONS):
        token = racing.start()
        made, locked = racing.run(("kek_pkcs11_init", {"version": 1}), ("kek_install_lock", {}))
        again, _locked = racing.run(("kek_pkcs11_init", {"version": 1}), ("kek_install_lock", {}))

        assert (made["changed"], "code" in locked) == (True, False), (made, locked)
        assert (again["changed"], again["key"]) == (False, made["key"])
        assert len(token.keys()) == 1
        assert racing.database.kek_install.count_documents({}) == 1
