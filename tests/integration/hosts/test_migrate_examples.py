# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of migrate, unchanged, on hosts with systemd: check, run, run again, reboot of all hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from .migrating import EXAMPLES, NEW, OLD, RECORDS, SECRETS

ON_THE_WAY = "Transfer | the bundle is on the destination"


def written_by_now(sides, nodes):
    """What a migration could write: files since `/tmp/before`, keys in tokens, databases."""
    # WHY not the token's files by name: SoftHSM2 writes to those at every login.
    found = "find /etc/certautopilot /etc/systemd/system /var/lib /var/backups /var/log /opt -newer /tmp/before -type f"
    passing = "journal|samples|wtmp|lastlog|lib/systemd|softhsm"
    kept = [sides.hosts.run(host, ["sh", "-c", f"{found} | grep -Ev '{passing}'"],
                            check=False).stdout for host in nodes]  # fmt: skip
    keys = [sides.hosts.run(host, ["sh", "-c", "find /var/lib/softhsm/tokens -name '*.object' | wc -l"]).stdout
            for host in nodes]  # fmt: skip
    return kept, keys, sides.database("sorted(client.list_database_names())")


def runs_clean(sides, example, old, new, record_property):
    """Check writes nothing, the run moves all, the second run changes nothing; only the destination serves."""
    for host in (*old, *new):
        sides.hosts.run(host, ["touch", "/tmp/before"])
    before = written_by_now(sides, (*old, *new))
    checked = sides.play(example, "--check", "--diff")
    after_check, serving = written_by_now(sides, (*old, *new)), sides.states(*old, *new)
    on_the_way = []
    first = sides.play(
        example, "--diff", "-vv", at=(ON_THE_WAY,), befall=lambda _run: on_the_way.extend(sides.bundles())
    )
    again = sides.play(example)

    assert (checked.status, first.status, again.status) == (0, 0, 0), "\n".join(
        (checked.output[-3000:], first.output[-5000:], again.output[-3000:])
    )
    assert after_check == before
    assert serving == ["active enabled"] * len(old) + ["inactive disabled"] * len(new)
    assert set(again.changed.values()) == {0}, again.output
    assert [value for value in (*sides.pins, *keks(sides, old, new)) if value in first.output] == []
    modes = {line.split()[1].partition("-bundles-")[0]: line.split()[0] for line in on_the_way}
    assert (modes["certautopilot"], modes["bundle"]) == ("700", "700")
    assert "records.age" in modes
    assert sides.bundles() == []
    record_property("freeze", sides.freeze(first, old, new))
    assert only_the_destination_serves(sides, old, new)


def keks(sides, *groups):
    """Every KEK that is a line of secrets.env."""
    texts = [sides.hosts.read(host, SECRETS) for group in groups for host in group]
    return [line.partition("=")[2] for text in texts for line in text.splitlines() if "_KEK_V" in line]


def only_the_destination_serves(sides, old, new):
    assert sides.states(*old, *new) == ["inactive disabled retired"] * len(old) + ["active enabled"] * len(new)
    assert sides.switches(*old) == []
    found = sides.compared(old[0], new[0])
    assert (found["differ"], found["reused"]) == ([], 0)
    assert found["records"] >= RECORDS
    assert found["envelopes"] > RECORDS / 4
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, (*old, *new)))
    assert [sides.healthy(host) for host in new] == [True] * len(new)
    assert sides.states(*old, *new) == ["inactive disabled retired"] * len(old) + ["active enabled"] * len(new)
    assert sides.both_served(old, new) == []
    return True


def test_x72_x79_x80_two_nodes_with_their_kek_in_a_file_become_one_with_an_hsm(sides, record_property):
    sides.install("env", *OLD)
    sides.token(NEW[0])

    runs_clean(sides, "migrate_env_to_pkcs11", OLD, NEW[:1], record_property)


@pytest.mark.slow
def test_x72_x79_one_node_with_an_hsm_becomes_two_with_their_kek_in_a_file(sides, record_property):
    sides.install("pkcs11", OLD[0])

    runs_clean(sides, "migrate_pkcs11_to_env", OLD[:1], NEW, record_property)

    assert sides.hosts.read(NEW[0], SECRETS) == sides.hosts.read(NEW[1], SECRETS)


@pytest.mark.slow
def test_x72_from_one_hsm_to_another(sides, record_property):
    sides.install("pkcs11", OLD[0])
    sides.token(NEW[0])

    runs_clean(sides, "migrate_pkcs11_to_other_token", OLD[:1], NEW[:1], record_property)


def test_every_example_of_a_migration_is_run_here():
    assert {path.name for path in EXAMPLES.glob("migrate_*")} == {
        "migrate_env_to_pkcs11", "migrate_pkcs11_to_env", "migrate_pkcs11_to_other_token"
    }  # fmt: skip
