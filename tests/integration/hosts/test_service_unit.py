# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""product_service and service_unit_info on real units: each way in which a service fails to start or to stop."""

from __future__ import annotations

import subprocess
import time

import pytest

from .conftest import PORT, UNIT, UNITS

READY = f"http://127.0.0.1:{PORT}/readyz"
CHECK = {"check_mode": True}
SECRET = "hunter2-hunter2"
FILES = f"{UNITS}/{UNIT}.d"
AT_ONCE = 45  # seconds, beside the 60 of the timeout: Ansible's own on a machine that is busy are in it


def started(**options):
    return ("product_service", {"unit": UNIT, "state": "started", "health_url": READY, **options}, {})


def stopped(**options):
    return ("product_service", {"unit": UNIT, "state": "stopped", **options}, {})


def four_times(call):
    module, options, _keywords = call
    return [(module, options, keywords) for keywords in (CHECK, {}, CHECK, {})]


def changed(results):
    return [result["changed"] for result in results]


@pytest.fixture
def timed(call):
    """Return a function that makes one call and returns its result and how many seconds it took."""

    def run(one):
        began = time.monotonic()
        (result,) = call(one)
        return result, time.monotonic() - began

    return run


def test_started_and_stopped_four_times_each(unit, call, shown, pair):
    unit("serves")

    results = call(*four_times(started(enabled=True)), *four_times(stopped(enabled=False)))

    assert changed(results) == [True, True, False, False] * 2
    assert (results[1]["health"], results[1]["after"]["enabled"]) == ("200", True)
    assert (results[1]["after"]["user"], results[1]["after"]["active_state"]) == ("certautopilot", "active")
    assert results[0]["diff"] == results[1]["diff"]
    assert results[5]["after"]["main_pid"] == 0
    assert shown("ActiveState", "UnitFileState") == {"ActiveState": "inactive", "UnitFileState": "disabled"}
    assert pair.run("source-1", ["pgrep", "-f", "probe.py"], check=False).stdout == ""


def test_check_mode_writes_nothing(unit, call, shown, pair):
    unit("serves")
    module, options, _keywords = stopped(retired=True, enabled=False)

    call((*started(enabled=True)[:2], CHECK), (module, options, CHECK))

    assert shown("ActiveState", "UnitFileState") == {"ActiveState": "inactive", "UnitFileState": "disabled"}
    assert pair.run("source-1", ["ls", FILES], check=False).returncode != 0


def test_a_unit_that_is_not_there_is_stopped_and_cannot_be_started(call):
    results = call(stopped(enabled=False), started(), (*started()[:2], CHECK))

    assert (results[0]["changed"], results[0]["after"]["exists"]) == (False, False)
    assert [result["failure"]["code"] for result in results[1:]] == ["service.no_unit"] * 2


def test_x73_a_unit_that_fails_ends_the_wait_at_once_with_the_last_lines_of_its_journal(unit, timed):
    unit("dies", "0.3", "3")

    result, took = timed(started(health_timeout=60))

    assert result["failure"]["code"] == "service.failed"
    assert took < AT_ONCE
    assert "cannot open the database" in result["msg"]
    assert any("cannot open the database" in line for line in result["journal"])
    assert (result["after"]["active_state"], result["after"]["result"]) == ("failed", "exit-code")


def test_x73_a_unit_that_is_started_again_and_again_ends_the_wait_at_its_second_end(unit, timed):
    unit("dies", "1", "3", service="Restart=on-failure\nRestartSec=5")

    result, took = timed(started(health_timeout=60))

    assert result["failure"]["code"] == "service.failed"
    assert "again and again" in result["msg"]
    assert 6 < took < AT_ONCE
    assert result["after"]["active_state"] == "activating"


def test_a_unit_that_dies_once_and_then_serves_is_ready(unit, call, pair, shown):
    pair.run("source-1", ["rm", "-f", "/tmp/died"])
    unit("serves", service="ExecStartPre=/bin/sh -c 'test -e /tmp/died || { touch /tmp/died; exit 1; }'\n"
         "Restart=on-failure\nRestartSec=1", user="root")  # fmt: skip

    (result,) = call(started())

    assert (result["health"], result["after"]["n_restarts"]) == ("200", 1)


def test_x73_a_unit_that_ends_by_itself_without_a_failure_ends_the_wait(unit, timed):
    unit("dies", "0.3", "0")

    result, took = timed(started())

    assert (result["failure"]["code"], took < AT_ONCE) == ("service.failed", True)
    assert "ended by itself" in result["msg"]


@pytest.mark.parametrize(("how", "said"), [("accepts", "nothing within"), ("drips", "nothing within")])
def test_x73_a_port_that_accepts_and_never_answers_costs_the_timeout_and_no_more(unit, timed, how, said):
    unit(how)

    result, took = timed(started(health_timeout=7))

    assert result["failure"]["code"] == "service.not_ready"
    assert (said in result["msg"], "active (running)" in result["msg"]) == (True, True)
    assert 7 <= took < AT_ONCE
    assert 7 <= result["waited_s"] < 8.5


@pytest.mark.parametrize(
    "service", ["Type=notify\nNotifyAccess=main", "ExecStartPre=/bin/sleep 600"], ids=["notify", "before its start"]
)
def test_x73_a_start_that_hangs_costs_the_timeout_and_can_be_stopped(unit, call, service):
    unit("dies", "600", "0", service=service)
    began = time.monotonic()

    results = call(started(health_timeout=3), stopped())

    assert results[0]["failure"]["code"] == "service.not_ready"
    assert "activating" in results[0]["msg"]
    assert results[1]["after"]["active_state"] in ("inactive", "failed")
    assert time.monotonic() - began < AT_ONCE


def test_a_failed_unit_that_was_restarted_too_often_is_started_all_the_same(unit, call, pair, shown):
    unit("dies", "0", "3", service="Restart=on-failure\nRestartSec=10ms")
    pair.run("source-1", ["systemctl", "start", UNIT])
    while shown("Result")["Result"] != "exit-code" and shown("ActiveState")["ActiveState"] != "failed":
        time.sleep(0.1)
    unit("serves")

    (result,) = call(started())

    assert result["health"] == "200"


def test_a_service_whose_url_answers_before_it_is_started_is_not_started(unit, timed, shown):
    unit("serves", name="other.service")
    unit("serves")
    result, _took = timed(("product_service", {"unit": "other.service", "state": "started", "health_url": READY}, {}))
    assert result["health"] == "200"

    result, took = timed(started())

    assert (result["failure"]["code"], took < AT_ONCE) == ("service.other_answers", True)
    assert shown("ActiveState", "MainPID") == {"ActiveState": "inactive", "MainPID": "0"}


def test_a_redirect_to_another_host_is_not_followed(unit, timed):
    unit("serves", "302", "http://192.0.2.1/readyz")

    result, took = timed(started(health_timeout=3))

    assert result["failure"]["code"] == "service.not_ready"
    assert "302, a redirect to http://192.0.2.1/readyz, not followed" in result["msg"]
    assert took < AT_ONCE


def test_no_proxy_of_the_environment_is_used(unit, call):
    unit("serves")
    proxy = {"environment": {"http_proxy": "http://192.0.2.1:3128", "HTTP_PROXY": "http://192.0.2.1:3128"}}

    (result,) = call((*started(health_timeout=5)[:2], proxy))

    assert result["health"] == "200"


def certificate(folder, name):
    """Make a CA and a certificate of it for the name; return their files."""
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", folder / "key.pem",
            "-out", folder / "certificate.pem"]  # fmt: skip
    subprocess.run(line, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


def test_health_over_https_is_believed_for_its_own_ca_or_without_a_check_and_not_otherwise(unit, call, pair, tmp_path):
    public, private = certificate(tmp_path, "localhost")
    pair.put("source-1", "/tmp/certificate.pem", public.read_text(), mode="0644")
    pair.put("source-1", "/tmp/key.pem", private.read_text(), owner="certautopilot:certautopilot")
    unit("serves-tls", "/tmp/certificate.pem", "/tmp/key.pem")
    url, address = f"https://localhost:{PORT}/readyz", f"https://127.0.0.1:{PORT}/readyz"

    results = call(
        started(health_url=url, health_ca_file="/tmp/certificate.pem"),
        started(health_url=address, health_validate_certs=False),
        started(health_url=url, health_timeout=2),
        started(health_url=address, health_ca_file="/tmp/certificate.pem", health_timeout=2),
        started(health_url=url, health_ca_file="/etc/hostname"),
    )

    assert [result.get("health") for result in results[:2]] == ["200", "200"]
    assert [result["failure"]["code"] for result in results[2:]] == [
        "service.not_ready", "service.not_ready", "service.options"
    ]  # fmt: skip
    assert "a certificate that is not trusted" in results[2]["msg"]
    assert "health_ca_file /etc/hostname" in results[4]["msg"]


def test_stopping_kills_what_does_not_end_and_says_so(unit, call, shown, pair):
    unit("stays", service="TimeoutStopSec=90")

    results = call(started(), stopped(stop_timeout=2), stopped())

    assert (len(results[1]["killed"]), results[2]["changed"]) == (1, False)
    assert "were killed" in " ".join(results[1]["warnings"])
    assert shown("MainPID")["MainPID"] == "0"
    assert pair.run("source-1", ["pgrep", "-f", "probe.py"], check=False).stdout == ""


def test_a_process_that_systemd_leaves_alone_does_not_outlive_the_stop(unit, call, pair):
    unit("leaves-a-child", service="KillMode=process")

    results = call(started(), stopped(stop_timeout=2))

    assert len(results[1]["killed"]) == 1
    assert pair.run("source-1", ["pgrep", "-f", "probe.py"], check=False).stdout == ""


def test_the_journal_shows_no_secret_no_control_character_and_no_endless_line(unit, call, pair):
    secrets = f'CERTAUTOPILOT_DATABASE_URI="mongodb://app:{SECRET}@h/"\nX_PIN=4711\nLEVEL=loudly\n'
    pair.put("source-1", "/etc/probe.env", secrets)
    said = [f"mongodb://app:{SECRET}@h/", f"password {SECRET}", "pin 4711 tried", "level loudly", "pid 47110"]
    hidden = ["\x1b[2J\x07bell", "\u202ereversed", "x" * 3000, "end"]
    pair.put("source-1", "/tmp/said", "\n".join([*said, *hidden]) + "\n", mode="0644")
    unit("says", "/tmp/said", service="EnvironmentFile=/etc/probe.env")

    (result,) = call(started())

    journal = "\n".join(result["journal"])
    assert result["failure"]["code"] == "service.failed"
    assert [SECRET in str(result), "loudly" in journal, "4711 " in journal] == [False, False, False]
    assert ["pid 47110" in journal, "a line that holds a secret is left out" in journal] == [True, True]
    assert ["\x1b" in journal, "\\x1b[2J\\x07bell" in journal, "\\u202ereversed" in journal] == [False, True, True]
    assert max(map(len, result["journal"])) < 400


def test_a_broken_environment_file_is_named_by_systemd_and_masked_all_the_same(unit, call, pair):
    pair.put("source-1", "/etc/probe.env", f'export NAME="{SECRET}\nBROKEN_KEY={SECRET}2\n')
    pair.put("source-1", "/tmp/said", f"cannot use {SECRET}\n", mode="0644")
    unit("says", "/tmp/said", service="EnvironmentFile=/etc/probe.env")

    (result,) = call(started())

    assert result["failure"]["code"] == "service.failed"
    assert SECRET not in str(result)


def test_x72_a_retired_unit_is_started_by_nobody_until_it_is_brought_back(unit, call, pair, shown):
    unit("serves")
    call(started(enabled=True))

    retired = call(
        *four_times(stopped(enabled=False, retired=True, retired_reason="migrated to 50% b.example\nrm -rf /"))
    )
    by_hand = pair.run("source-1", ["systemctl", "start", UNIT], check=False)
    refused = call(started())

    assert changed(retired) == [True, True, False, False]
    assert by_hand.returncode != 0
    said = f"{UNIT}, retired (migrated to 50% b.example/nrm -rf /)"
    assert shown("ActiveState", "Description") == {"ActiveState": "inactive", "Description": said}
    assert said in pair.journal("source-1", UNIT)
    assert "50-certautopilot-retired.conf" in pair.run("source-1", ["systemctl", "status", UNIT], check=False).stdout
    assert (refused[0]["failure"]["code"], "50% b.example" in refused[0]["msg"]) == ("service.retired", True)

    back = call(*four_times(started(enabled=True, retired=False)))

    assert changed(back) == [True, True, False, False]
    assert (back[1]["health"], shown("UnitFileState")["UnitFileState"]) == ("200", "enabled")
    assert pair.run("source-1", ["ls", FILES], check=False).returncode != 0


@pytest.mark.parametrize("power_cut", [False, True])
def test_x72_enabled_disabled_and_retired_survive_a_reboot(unit, call, pair, shown, power_cut):
    unit("serves")
    call(stopped(enabled=False, retired=True))
    pair.run("source-1", ["systemctl", "enable", UNIT])  # somebody means it well
    pair.reboot("source-1", power_cut=power_cut)
    assert shown("ActiveState")["ActiveState"] == "inactive"

    call(started(enabled=True, retired=False))
    pair.reboot("source-1", power_cut=power_cut)
    assert shown("ActiveState")["ActiveState"] == "active"

    call(stopped(enabled=False))
    pair.reboot("source-1", power_cut=power_cut)
    assert shown("ActiveState")["ActiveState"] == "inactive"


def test_a_unit_without_an_install_section_cannot_be_enabled_and_is_not_started(unit, call, shown):
    unit("serves", wanted=False)

    (result,) = call(started(enabled=True))

    assert result["failure"]["code"] == "service.enablement"
    assert shown("ActiveState")["ActiveState"] == "inactive"


def test_a_masked_unit_is_named_as_masked(unit, call, pair):
    pair.run("source-1", ["systemctl", "mask", "other.service"])
    try:
        (result,) = call(("product_service", {"unit": "other.service", "state": "started"}, {}))
    finally:
        pair.run("source-1", ["systemctl", "unmask", "other.service"])

    assert result["failure"]["code"] == "service.no_unit"
    assert "masked" in result["msg"]


def test_without_root_the_way_out_is_named(unit, call):
    unit("serves")

    (result,) = call((*started()[:2], {"vars": {"ansible_become": False}}))

    assert result["failure"]["code"] == "service.refused"
    assert "become" in result["failure"]["hint"]


def test_a_service_that_is_no_unit_is_only_waited_for(unit, call, pair):
    unit("serves")
    pair.run("source-1", ["systemctl", "start", UNIT])

    results = call(
        ("product_service", {"state": "ready", "health_url": READY}, {}),
        ("product_service", {"state": "ready", "health_url": "http://127.0.0.1:9/", "health_timeout": 1}, {}),
    )

    assert (results[0]["changed"], results[0]["health"]) == (False, "200")
    assert results[1]["failure"]["code"] == "service.not_ready"


def test_the_info_tells_whose_the_unit_is(unit, call):
    unit("serves", service="EnvironmentFile=-/etc/one.env\nEnvironmentFile=/etc/two.env")
    unit("serves", name="of-root.service", user="")

    results = call(
        ("service_unit_info", {"unit": UNIT}, {}),
        ("service_unit_info", {"unit": "of-root.service"}, CHECK),
        ("service_unit_info", {"unit": "not-there.service"}, {}),
    )

    told = [(one["service"]["exists"], one["service"]["user"], one["service"]["group"]) for one in results]
    assert told == [(True, "certautopilot", "certautopilot"), (True, "root", "root"), (False, "", "")]
    assert results[0]["service"]["environment_files"] == ["/etc/one.env", "/etc/two.env"]
    assert results[0]["systemd"] is True
