# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a rotation, unchanged, on two nodes that use one token: check, run, run again; both go on serving."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.hosts import Hosts, why_not
from tests.support.hosts.hosts import SHARED

from .migrating import CONFIG, EXAMPLES, PIN, RECORDS, SECRETS, Sides, written

NODES = ("cap1.example.com", "cap2.example.com")
TOKENS = "/var/lib/softhsm/tokens"


@pytest.fixture
def fleet(tmp_path_factory, tmp_path):
    """Two nodes with one installation and one HSM: a token whose files both see."""
    if reason := why_not():
        pytest.skip(reason)
    hosts = Hosts(tmp_path_factory.mktemp("rotate"), hosts=NODES)
    hosts.up()
    try:
        sides = Sides(hosts, tmp_path)
        sides.clear()
        one_token(sides)
        yield sides
    finally:
        hosts.down()


def one_token(sides):
    for host in NODES:
        shared = f"install -d -o certautopilot -g certautopilot -m 0700 {SHARED}/tokens"
        sides.hosts.run(host, ["sh", "-c", f"{shared} && mount --bind {SHARED}/tokens {TOKENS}"])
    sides.token(NODES[0])
    sides.hosts.put(NODES[1], PIN, sides.pins[0])
    inventory = yaml.safe_load((EXAMPLES / "rotate_fleet" / "inventory.yml").read_text())
    pkcs11 = (EXAMPLES / "fresh_install_pkcs11" / "group_vars" / "certautopilot.yml").read_text()
    folder = written(sides.folder / "fresh", inventory, certautopilot=yaml.safe_load(pkcs11))
    made = sides.play(folder, playbook="fresh_install")
    assert made.status == 0, made.output[-4000:]
    where = ("--config", CONFIG, "--secrets", SECRETS)
    sides.program(NODES[0], "tests.support.service", "seed", *where, "--records", str(RECORDS))


@pytest.mark.slow
def test_two_nodes_with_one_hsm_get_a_new_version_and_go_on_serving(fleet):
    def opened():
        return json.loads(fleet.program(NODES[1], "tests.support.oracle", "list", "--source", CONFIG, SECRETS))

    before, versions = opened(), "sorted(r['_id'] for r in client.certautopilot.kek_versions.find())"
    checked = fleet.play("rotate_fleet", "--check", "--diff", playbook="rotate")
    after_check = fleet.database(versions)
    first = fleet.play("rotate_fleet", "--diff", "-vv", playbook="rotate")
    again = fleet.play("rotate_fleet", playbook="rotate")

    assert (checked.status, first.status, again.status) == (0, 0, 0), "\n".join(
        (checked.output[-3000:], first.output[-5000:], again.output[-3000:])
    )
    assert after_check == "[1]"
    assert set(again.changed.values()) == {0}, again.output
    assert fleet.pins[0] not in checked.output + first.output + again.output
    active = "[r['_id'] for r in client.certautopilot.kek_versions.find({'state': 'active'})]"
    assert fleet.database(active) == "[2]"
    after = opened()
    assert {place: stays for place, (stays, _fresh) in after.items()} == {
        place: stays for place, (stays, _fresh) in before.items()
    }
    wraps = [{made[1] for _stays, made in side.values() if made} for side in (before, after)]
    assert wraps[0].isdisjoint(wraps[1])
    assert len(wraps[1]) > RECORDS / 4
    for host in NODES:
        samples = fleet.samples(host)
        served = [well for _when, _active, well in samples]
        assert all(served[served.index(True) :])
