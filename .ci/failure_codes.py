# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the guide of failure codes: `make docs-codes`. Which codes there are, the source says. ADR-0021.

    .venv/bin/python .ci/failure_codes.py

What a code means is written once, in one of three places:
 1. a code to which callers of ours react is a class, and the first paragraph of its docstring is the guide's text;
 2. every other code of a module or plugin is in docs/failure_codes.yml;
 3. a code of a role is in its task, with what was found and the way out.
Exit status 1, and nothing written, where a code has no text, a text has no code, or a code has two.
"""

from __future__ import annotations

import re
import sys
import textwrap
from itertools import groupby
from typing import TypedDict

import yaml
from codes_in_source import ROOT, Refusal, codes_of_the_source, refusals_of_roles

TABLE = ROOT / "docs" / "failure_codes.yml"
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_failure_codes.rst"
HEAD = """\
..
  Copyright (c) 2026 the certautopilot.ops authors
  GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
  SPDX-License-Identifier: GPL-3.0-or-later

..
  Written by .ci/failure_codes.py (make docs-codes). Change docs/failure_codes.yml, the docstring of the error's class,
  or the role's task instead.

.. _ansible_collections.certautopilot.ops.docsite.guide_failure_codes:

Failure codes
=============

"""


class Section(TypedDict):
    """A part of docs/failure_codes.yml; areas are what its codes have before the dot."""

    title: str
    areas: list[str]
    codes: dict[str, str]


class Table(TypedDict):
    introduction: str
    sections: list[Section]
    roles: str


def main() -> int:
    table: Table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    missing = troubles(table)
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    GUIDE.write_text(guide(table), encoding="utf-8")
    return 0


def troubles(table: Table) -> list[str]:
    """Return what keeps the guide from being written."""
    areas = known_areas(table)
    found = codes_of_the_source(areas)
    written, classes = {code for section in table["sections"] for code in section["codes"]}, set(found.texts)
    return [
        *(f"{code}: no text in {TABLE.name}, and no class" for code in sorted(found.codes - written - classes)),
        *(f"{code}: in {TABLE.name}, but not in the source" for code in sorted(written - found.codes)),
        *(f"{code}: in {TABLE.name} and in a class" for code in sorted(written & classes)),
        *(f"{code}: no section has its area" for code in sorted(found.codes) if code.partition(".")[0] not in areas),
        *(f"{code}: its class says nothing" for code, text in sorted(found.texts.items()) if not text),
    ]


def known_areas(table: Table) -> set[str]:
    return {area for section in table["sections"] for area in section["areas"]}


def guide(table: Table) -> str:
    """Return the page. INVARIANT: `troubles` found nothing."""
    found = codes_of_the_source(known_areas(table))
    parts = [HEAD, table["introduction"], "\n"]
    for section in table["sections"]:
        texts = {**section["codes"], **{code: marked(text) for code, text in found.texts.items()}}
        parts += heading(section["title"])
        for area in section["areas"]:
            for code in sorted(code for code in texts if code.partition(".")[0] == area):
                parts.append(entry(code, texts[code] + (" Retryable." if code in found.retryable else "")))
    parts += [*heading("Roles"), table["roles"], "\n"]
    for code, refusals in groupby(refusals_of_roles(), key=lambda one: one.code):
        parts.append(entry(plain(code), said(list(refusals))))
    return "".join(parts).rstrip() + "\n"


def heading(title: str) -> list[str]:
    return [f"{title}\n{'-' * len(title)}\n\n"]


def entry(code: str, text: str) -> str:
    body = "\n".join(
        textwrap.fill(paragraph, 118, initial_indent="  ", subsequent_indent="  ", break_long_words=False,
                      break_on_hyphens=False)
        for paragraph in text.split("\n")
    )  # fmt: skip
    return f"``{code}``\n{body}\n\n"


def said(refusals: list[Refusal]) -> str:
    """Return what the checks of one code say: the roles that have it, then message and way out of each, once."""
    places = " and ".join(dict.fromkeys(one.where for one in refusals))
    sentences = dict.fromkeys(f"{marked(plain(one.message))}; {marked(plain(one.hint))}." for one in refusals)
    return f"In {places}: " + "\n\nOr: ".join(sentences)


def plain(text: str) -> str:
    """Return a text of Jinja as one for readers: each value that is filled in is an ellipsis, blanks are single."""
    return " ".join(re.sub(r"\{%.*?%\}", "", re.sub(r"\{\{.*?\}\}", "…", text)).split())


def marked(text: str) -> str:
    """Return a text of ours as reStructuredText: `name` is ``name``, and nothing else is markup."""
    pieces = text.split("`")
    escaped = [re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", piece) if place % 2 == 0 else f"``{piece}``"
               for place, piece in enumerate(pieces)]  # fmt: skip
    return "".join(escaped)


if __name__ == "__main__":
    sys.exit(main())
