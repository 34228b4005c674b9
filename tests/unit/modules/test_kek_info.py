# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_info from a task's options to its verb: what is read by default, and what is refused by Ansible itself."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.result import Result
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_info as verb
from ansible_collections.certautopilot.ops.plugins.modules import kek_info


@pytest.fixture
def asked(monkeypatch):
    """Return the list of options that the verb is called with."""
    calls = []

    def run(_settings, options, *, check, warn):
        calls.append(options)
        return Result(changed=False, values={}, before={}, after={})

    monkeypatch.setattr(verb, "run", run)
    return calls


def test_everything_but_the_digest_is_read_unless_it_is_asked_for_otherwise(call, asked):
    call(kek_info.main)
    call(kek_info.main, gather=["fleet"], digest=True, journal_head="7:abc")

    assert asked == [
        verb.Options(gather=verb.EVERYTHING_BUT_DIGEST, digest=False, journal_head=""),
        verb.Options(gather=("fleet",), digest=True, journal_head="7:abc"),
    ]


def test_what_cannot_be_gathered_is_refused_before_anything_is_read(call, asked):
    result = call(kek_info.main, gather=["everything"])

    assert result["failed"] is True
    assert "journal" in result["msg"]
    assert asked == []
