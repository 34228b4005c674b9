# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The return switch on real hosts: it fires by itself, and who takes it away knows whether it did (X74)."""

from __future__ import annotations

import time

import pytest

from .conftest import UNIT, UNITS

CHECK = {"check_mode": True}
TIMERS = ("certautopilot-return.timer", "certautopilot-return-again.timer")
SERVICES = ("certautopilot-return.service", "certautopilot-return-again.service")


def switch(state, **options):
    return ("return_switch", {"unit": UNIT, "state": state, **options}, {})


def codes(results):
    return [result.get("failure", {}).get("code") for result in results]


@pytest.fixture
def armed(unit, call, pair):
    """Return a function that arms the switch of an enabled unit that is stopped, and returns arming's result.

    WHY stopped before: on a busy machine a short switch would fire between the two.
    """

    def run(after_s):
        unit("serves")
        pair.run("source-1", ["systemctl", "enable", UNIT])
        return call(switch("armed", after_s=after_s, run="3f0c5a9d1b7e"))[0]

    return run


@pytest.fixture
def until(shown):
    """Return a function that waits until the unit is active, and returns how long that took."""

    def wait(seconds, wanted="active"):
        began = time.monotonic()
        while time.monotonic() - began < seconds and shown("ActiveState")["ActiveState"] != wanted:
            time.sleep(0.1)
        assert shown("ActiveState")["ActiveState"] == wanted
        return time.monotonic() - began

    return wait


def loaded(pair):
    """Return the units of the switch that systemd has."""
    printed = pair.run(
        "source-1", ["systemctl", "list-units", "--all", "--plain", "--no-legend", "certautopilot-return*"]
    )
    return sorted(line.split()[0] for line in printed.stdout.splitlines() if "not-found" not in line)


def test_x74_it_fires_by_itself_and_starts_the_unit_and_is_known_to_have_fired(armed, call, until, pair):
    result = armed(5)

    assert (result["changed"], result["switch"]["armed"], 0 <= result["switch"]["left_s"] <= 5) == (True, True, True)
    until(15)
    results = call(
        switch("asserted"),
        switch("armed", expect_stopped=True),
        switch("disarmed", expect_stopped=True),
        switch("disarmed", expect_stopped=True),
        switch("disarmed"),
        switch("disarmed", expect_stopped=True),
    )
    assert codes(results) == ["switch.fired"] * 4 + [None, "service.runs_again"]
    assert results[4]["switch"] == {"armed": False, "was_armed": False, "fired": True, "left_s": None}
    assert loaded(pair) == []


def test_x74_taken_away_it_does_not_fire_and_is_gone(unit, call, shown, pair):
    unit("serves")
    module, options, _keywords = switch("disarmed", expect_stopped=True)
    began = time.monotonic()

    _armed, *results = call(
        switch("armed", after_s=30), *[(module, options, keywords) for keywords in (CHECK, {}, CHECK, {})]
    )
    time.sleep(max(began + 45 - time.monotonic(), 3))  # 30 s after it was armed, wherever in the play that was

    assert [result["changed"] for result in results] == [True, True, False, False]
    assert [result["switch"]["was_armed"] for result in results] == [True, True, False, False]
    assert results[1]["switch"]["fired"] is False
    assert (shown("ActiveState")["ActiveState"], loaded(pair)) == ("inactive", [])


def test_armed_four_times_and_anew_there_is_always_one_with_its_full_time(unit, call, pair, shown):
    unit("serves")
    pair.run("source-1", ["systemctl", "start", UNIT])
    module, options, _keywords = switch("armed", after_s=300)

    results = call(*[(module, options, keywords) for keywords in (CHECK, {}, CHECK, {})], switch("armed", after_s=900))

    assert [result["changed"] for result in results] == [True, True, False, False, False]
    assert [result["switch"]["armed"] for result in results] == [False, True, True, True, True]
    assert 880 < results[-1]["switch"]["left_s"] <= 900
    assert len([name for name in loaded(pair) if name.endswith(".timer")]) == 1
    assert "starts probe.service again unless migration" in shown("Description", name=TIMERS[0])["Description"]


def test_what_was_left_is_asserted_and_what_is_not_is_told(armed, call, pair):
    boot = armed(300)["boot_id"]

    results = call(
        switch("asserted", boot_id=boot, left_s=60, expect_stopped=True),
        switch("asserted", left_s=400),
        switch("asserted", boot_id="another/1"),
        switch("armed", after_s=600, boot_id=boot, expect_stopped=True),
    )
    pair.run("source-1", ["systemctl", "start", UNIT])
    by_hand = call(switch("asserted", expect_stopped=True))
    pair.run("source-1", ["systemctl", "stop", UNIT, *TIMERS], check=False)
    gone = call(switch("asserted"), switch("armed", expect_stopped=True), switch("disarmed", expect_stopped=True))

    assert codes(results) == [None, "switch.late", "switch.lost", None]
    assert [result["changed"] for result in results] == [False] * 4
    assert codes(by_hand) == ["service.runs_again"]
    assert codes(gone) == ["switch.lost", "switch.lost", None]


def test_the_host_may_read_its_units_again_and_again_and_it_still_fires(armed, pair, until):
    began = time.monotonic()
    armed(20)

    while time.monotonic() - began < 18:
        pair.run("source-1", ["systemctl", "daemon-reload"])
        time.sleep(0.5)
    pair.run("source-1", ["systemctl", "daemon-reexec"])
    until(25)

    assert time.monotonic() - began < 45


def test_the_boot_is_the_same_after_systemd_was_executed_anew(unit, call, pair):
    unit("serves")

    before = call(switch("disarmed"))
    pair.run("source-1", ["systemctl", "daemon-reexec"])
    pair.run("source-1", ["systemctl", "daemon-reload"])

    assert call(switch("disarmed"))[0]["boot_id"] == before[0]["boot_id"]


def test_x74_a_reboot_loses_the_switch_starts_what_is_enabled_and_both_are_told(armed, call, pair, until):
    boot = armed(300)["boot_id"]

    pair.reboot("source-1")
    until(10)
    results = call(
        switch("asserted", boot_id=boot),
        switch("disarmed", boot_id=boot, expect_stopped=True),
        switch("disarmed", expect_stopped=True),
        switch("disarmed"),
    )

    assert codes(results) == ["switch.lost", "switch.lost", "service.runs_again", None]
    assert "booted since" in results[0]["msg"]
    assert results[3]["switch"]["fired"] is False


def test_a_switch_that_fired_for_a_unit_that_cannot_start_has_fired_all_the_same(armed, call, pair):
    armed(15)
    pair.run("source-1", ["rm", f"{UNITS}/{UNIT}"])
    pair.run("source-1", ["systemctl", "daemon-reload"])
    time.sleep(16)

    results = call(switch("disarmed", expect_stopped=True), switch("disarmed"))

    assert codes(results) == ["switch.fired", None]
    assert loaded(pair) == []


def test_nobody_is_promised_what_cannot_be_kept(unit, call):
    unit("serves")

    results = call(
        switch("armed", unit="not-there.service"),
        ("product_service", {"unit": UNIT, "state": "stopped", "retired": True}, {}),
        switch("armed"),
        switch("armed", after_s=0),
        switch("armed", name="../x"),
    )

    assert codes(results) == ["service.no_unit", None, "service.retired", "switch.options", "switch.options"]
