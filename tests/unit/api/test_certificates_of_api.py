# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of a service whose pages lead in a circle. A stub answers: the stand-in's pages end."""

from __future__ import annotations

import json
from itertools import cycle

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._api.certificates_of_api import ApiCertificates
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.api_answers import Answer
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError


class Circle:
    """A client whose pages have these cursors, over and over. asked: how often."""

    def __init__(self, *cursors):
        self._cursors, self.asked = cycle(cursors), 0

    def ask(self, _method, _path):
        self.asked += 1
        assert self.asked < 20, "asked for ever"
        return Answer(200, json.dumps({"items": [{"id": "a"}], "next_cursor": next(self._cursors)}).encode())


@pytest.mark.parametrize("cursors", [("A",), ("A", "B"), ("A", "B", "C")])
def test_pages_that_lead_in_a_circle_are_told_once_the_first_comes_again(cursors):
    client = Circle(*cursors)

    with pytest.raises(OpsError) as failure:
        ApiCertificates(client, "a service").projects()

    assert failure.value.code == "api.malformed"
    assert client.asked == len(cursors) + 1
