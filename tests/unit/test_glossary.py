# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The glossary explains each word once, every guide leads to it, and the documentation site shows all pages."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import yaml

from tests.support import repository

FOLDER = "docs/docsite/rst/"
GLOSSARY = f"{FOLDER}glossary.rst"
LABEL = "ansible_collections.certautopilot.ops.docsite.glossary"
PAGES = sorted(name for name in repository.files() if name.startswith(FOLDER) and name.endswith(".rst"))
GUIDES = [name for name in PAGES if name != GLOSSARY]

# What an operator meets in results, options and messages and cannot be expected to know.
WORDS = [
    "accept", "bundle", "canary", "catalogue", "dek", "envelope", "fleet", "heartbeat", "helper", "journal",
    "kek", "keystore", "layout", "leader", "lease", "manifest", "migration", "plan", "preflight", "provider",
    "quiesce", "range", "re-seal", "re-wrap", "record", "rescue", "rotation", "seal", "settle", "share",
    "slice", "survey", "swap", "token", "wrap", "check value", "compare-and-set", "install lock", "kek version",
    "live process", "removed-version validator",
]  # fmt: skip


def explained():
    """Return the words of the glossary in lower case; an entry may explain several."""
    lines = repository.text(GLOSSARY).splitlines()
    entries = [line for line, below in pairwise(lines) if re.match(r"\w", line) and below[:2] == "  "]
    return [word.strip().lower() for entry in entries for word in entry.split(",")]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_operators_meet_is_explained_once(word):
    assert explained().count(word) == 1


def test_no_word_is_explained_twice():
    assert sorted(word for word in set(explained()) if explained().count(word) > 1) == []


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_leads_to_the_glossary(guide):
    assert f"<{LABEL}>" in repository.text(guide)


def test_every_page_is_in_the_contents_of_the_documentation_site():
    sections = yaml.safe_load(repository.text("docs/docsite/extra-docs.yml"))["sections"]

    listed = [page for section in sections for page in section["toctree"]]

    assert sorted(f"{FOLDER}{page}.rst" for page in listed) == PAGES
