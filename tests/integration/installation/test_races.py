# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two first starts with different providers at once: one winner, and the other reads the vendor's text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROUNDS = 200
RACER = Path(__file__).parents[1] / "processes" / "racer.py"


def test_t28_of_two_first_starts_with_different_providers_one_wins_200_times(server, tmp_path):
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
