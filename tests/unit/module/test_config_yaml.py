# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config.yaml says one thing, or it is refused without a word of what is in it."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._module.config_yaml import parse


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("a: 1\nb: 2\na: secret\n", ("line 3", "line 1")),
        ("database:\n  uri: one\n  name: cap\n  uri: secret\n", ("line 4", "line 2")),
        ("list:\n- {x: 1}\n- {x: 1, 'x': secret}\n", ("line 3", "line 3")),
    ],
)
def test_x95_a_key_that_is_there_twice_is_refused_by_its_lines(content, lines):
    with pytest.raises(OpsError) as refused:
        parse(content, "/etc/config.yaml")

    assert refused.value.code == "file.grammar"
    assert all(line in refused.value.message for line in lines)
    assert "secret" not in str(refused.value.as_result())


@pytest.mark.parametrize("content", ["a: &x {b: 1}\nc: {<<: *x, <<: *x}\n", "a: {b: 1}\nc: {b: 1}\n"])
def test_what_is_only_like_a_twin_is_read(content):
    assert parse(content, "/etc/config.yaml")


def test_an_empty_file_says_nothing():
    assert parse("", "/etc/config.yaml") == {}


@pytest.mark.parametrize("content", ["a: [", "- list\n", "text secret\n", "a: !!python/object:os.system x\n"])
def test_what_is_no_mapping_of_plain_values_is_refused(content):
    with pytest.raises(OpsError, match="cannot be read") as refused:
        parse(content, "/etc/config.yaml")

    assert "secret" not in str(refused.value.as_result())
