# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes of one installation must have in common is named when they have not, and no value is."""

from __future__ import annotations

import base64

from ansible_collections.certautopilot.ops.plugins.filter.nodes import differing_options


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_equal_nodes_differ_in_nothing_and_may_have_names_of_their_own():
    nodes = [{"host": name, "installed": name == "a", "install_provider": "env"} for name in "ab"]

    assert differing_options(nodes, [encoded("mongodb://u:p@h/"), encoded("mongodb://u:p@h/\n")]) == []


def test_x78_another_provider_unit_or_database_is_named():
    nodes = [{"install_provider": "env", "install_unit": "a"}, {"install_provider": "pkcs11", "install_unit": "b"}]

    assert differing_options(nodes, []) == ["install_provider", "install_unit"]


def test_x78_another_uri_is_named_and_its_password_is_not():
    found = differing_options([{}, {}], [encoded("mongodb://u:secret@h/a"), encoded("mongodb://u:other@h/a")])

    assert found == ["install_mongodb_uri_file"]
