# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/whats-here.md leads to every folder of the repository, and to no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import repository
from tests.support.repository import ROOT

PAGE = "docs/whats-here.md"
LINK = re.compile(r"\]\(([^)#\s]+)\)")
# Folders whose names are Ansible's or molecule's: what is in them is said of the folder above.
SAID_ABOVE = re.compile(r"roles/\w+/.+|molecule/\w+/(tests|inventory)|\.config")


def linked():
    """Return the folders that the page leads to, as paths from the root."""
    places = ((ROOT / PAGE).parent / target for target in LINK.findall(repository.text(PAGE)))
    return [str(place.resolve().relative_to(ROOT.resolve())) for place in places if place.is_dir()]


def test_every_folder_is_there():
    wanted = {folder for folder in repository.folders() if not SAID_ABOVE.fullmatch(folder)}

    assert sorted(wanted - set(linked())) == []


def test_no_folder_is_there_twice():
    assert sorted(folder for folder in set(linked()) if linked().count(folder) > 1) == []


def test_a_link_is_named_for_the_folder_that_it_leads_to():
    pairs = re.findall(r"\[`([^`]+)/`\]\(([^)]+)\)", repository.text(PAGE))
    astray = [
        (name, target)
        for name, target in pairs
        if not str((ROOT / "docs" / target).resolve()).endswith(f"/{name}") or not Path(ROOT, "docs", target).is_dir()
    ]

    assert len(pairs) > 40
    assert astray == []
