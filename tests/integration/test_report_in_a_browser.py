# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report in a real browser: light, dark, narrow and on paper, read by axe-core; it asks for nothing.

Pictures and PDFs are kept in .build/reports/pages, to be looked at. Skipped where there is no Chromium; `make browser`
installs one, brings axe-core and runs these.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.filter.report import migration_report, report_html, rotation_report
from ansible_collections.certautopilot.ops.plugins.plugin_utils._markup import as_seen

from tests.support import browser
from tests.support.reports import HOSTILE, all_facts, rotation

KEPT = Path(__file__).resolve().parents[2] / ".build" / "reports" / "pages"
AXE = Path(os.environ.get("AXE_JS", KEPT.parents[1] / "axe" / "package" / "axe.min.js"))
NAMES = (*all_facts(), "rotation")
WIDTHS = (1280, 390, 320)
SCREENS = [(width, dark) for width in WIDTHS for dark in (False, True)]

pytestmark = pytest.mark.skipif(browser.program() is None, reason="no chromium here; make browser installs it")


@pytest.fixture(scope="module")
def pages():
    """Return name -> file of a page."""
    KEPT.mkdir(parents=True, exist_ok=True)
    told = {name: migration_report(facts) for name, facts in all_facts().items()} | {
        "rotation": rotation_report(rotation(), [])
    }
    for name, report in told.items():
        (KEPT / f"{name}.html").write_text(report_html(json.loads(json.dumps(report))), encoding="utf-8")
    return {name: KEPT / f"{name}.html" for name in told}


@pytest.fixture(scope="module")
def tab():
    with browser.opened() as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_it_is_seen_whole_on_every_screen(tab, pages, name):
    tab.open(pages[name])
    for width, dark in SCREENS:
        tab.emulate(dark=dark, width=width)
        tab.screenshot(KEPT / f"{name}-{'dark' if dark else 'light'}-{width}.png")

        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_light_or_dark_as_the_screen_is_and_paper_is_white(tab, pages):
    tab.open(pages["migration"])
    seen = {}
    for dark, media in ((False, "screen"), (True, "screen"), (True, "print")):
        tab.emulate(dark=dark, media=media)
        colour = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        seen[dark, media] = sum(colour) / 3

    assert seen[False, "screen"] > 230
    assert seen[True, "screen"] < 50
    assert seen[True, "print"] == 255


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_printed(tab, pages, name):
    tab.open(pages[name])
    tab.call("Emulation.setEmulatedMedia")
    tab.print(KEPT / f"{name}.pdf")

    assert (KEPT / f"{name}.pdf").read_bytes().startswith(b"%PDF-")


def test_the_freeze_is_drawn_and_every_stage_is_in_the_table(tab, pages):
    tab.open(pages["migration"])
    tab.emulate()
    segments = "document.querySelectorAll('.timeline figure [class^=frozen] rect')"
    drawn = tab.evaluate(f"[...{segments}].map(one => one.getBoundingClientRect().width)")
    stages = tab.evaluate("[...document.querySelectorAll('.timeline tbody tr')].map(one => one.innerText)")

    assert len(drawn) == 10
    assert all(width > 1 for width in drawn)
    assert [one.split()[1] for one in stages if "freeze" in one] == [
        "quiesce",
        "differences",
        "proof",
        "accept",
        "start",
    ]
    assert len(stages) == 11


def test_hostile_names_are_read_as_they_are_and_nothing_runs(tab, pages):
    tab.said.clear()
    tab.open(pages["hostile"])
    tab.emulate()
    read = tab.evaluate("document.body.innerText")

    assert [name for name in HOSTILE if as_seen(name) not in read] == []
    assert tab.evaluate("document.querySelectorAll('script, img, iframe, object, link').length") == 0
    assert tab.said == []


@pytest.mark.parametrize("name", NAMES)
def test_no_request_leaves_the_page(tab, pages, name):
    tab.requests.clear()
    tab.open(pages[name])
    tab.screenshot(KEPT / f"{name}-light-1280.png")

    assert tab.requests == [pages[name].as_uri()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(not AXE.is_file(), reason=f"no axe-core at {AXE}; make browser brings it, AXE_JS names another one")
def test_axe_finds_nothing(tab, pages, name):
    tab.open(pages[name])
    found = []
    for width, dark in SCREENS:
        tab.emulate(dark=dark, width=width)
        tab.evaluate(f"{AXE.read_text(encoding='utf-8')};0")
        found += tab.evaluate(
            "axe.run().then(done => done.violations.map(one => [one.impact, one.id, one.nodes[0].html]))"
        )

    assert found == []
