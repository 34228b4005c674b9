# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short way of a survey counts what the long way counts, document by document and all together."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.survey import SAMPLE_PER_FIELD, Survey

from tests.unit.rotation.test_plain_documents import COLLECTION, FIELD, OTHERS, PLAIN, SEALED, SOUND

CATALOGUES = {
    "as it is": Catalogue(),
    "with a second field": Catalogue({COLLECTION: ("spare",)}),
    "with a place that is said to hold none": Catalogue({COLLECTION: ("!old", "!meta")}),
}


class Long(Catalogue):
    """A catalogue that knows no collection with one field only, so that every document goes the long way."""

    def sole_field(self, collection):
        return None


def counted(catalogue, *documents):
    """Return (everything that a survey holds, what `each` was told)."""
    survey, told = Survey(), []
    for document in documents:
        survey.note(catalogue, COLLECTION, document, lambda *found: told.append(found))
    held = {one.name: getattr(survey, one.name) for one in dataclasses.fields(survey) if not one.name.startswith("_")}
    return held, told


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
@pytest.mark.parametrize("document", [*PLAIN.values(), *OTHERS.values()], ids=[*PLAIN, *OTHERS])
def test_the_short_way_counts_what_the_long_way_counts(document, catalogue):
    assert counted(catalogue, document) == counted(Long(catalogue.as_listed()), document)


def test_all_kinds_together_count_alike_and_the_sample_is_the_same():
    documents = [*PLAIN.values(), *OTHERS.values()] * 2

    assert counted(Catalogue(), *documents) == counted(Long(), *documents)


def test_a_sample_is_no_longer_than_it_may_be():
    held, told = counted(Catalogue(), *[SOUND] * (SAMPLE_PER_FIELD + 3))

    assert (len(held["sample"]), len(told)) == (SAMPLE_PER_FIELD, SAMPLE_PER_FIELD + 3)
    assert held["by_field"] == {f"{COLLECTION}.{FIELD}": SAMPLE_PER_FIELD + 3}
    assert {found.value["wrapped_dek"] for found, _envelope in told} == {SEALED["wrapped_dek"]}
