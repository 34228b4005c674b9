# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody wrote into the database moves no cursor of the operator's, however much Ansible is made to say."""

from __future__ import annotations

import unicodedata

import pytest

from tests.integration import stock
from tests.support.sealed import credential

from .conftest import files_of

IGNORE = {"ignore_errors": True}
HOSTILE = "zone\x1b[2J\x9b31m\u202e\u2028\nok: [localhost]"


@pytest.mark.parametrize("verbosity", ["-v", "-vvv"])
def test_x28_no_escape_sequence_of_the_database_reaches_the_terminal(play, env_site, tmp_path, verbosity):
    stock.allow_key_export(env_site)
    stock.certificate(env_site, stock.project(env_site, HOSTILE), HOSTILE, certificate_pem="", with_key=False)
    export = {**files_of(env_site), "dest": str(tmp_path / "out"), "formats": ["cert.pem"]}
    listed = ("cert_export", export, IGNORE)
    env_site.db["outside\x1b[2J"].insert_one(credential(env_site.keks[1], b"x") | {"_id": HOSTILE})
    refused = ("kek_rotate", {**files_of(env_site), "to_version": 1}, IGNORE)

    done = play(listed, refused, ("kek_info", files_of(env_site), {}), arguments=[verbosity, "--diff"])

    assert [result["failure"]["code"] for result in done.results[:2]] == ["export.incomplete", "catalogue.outside"]
    assert r"\x1b[2J" in done.output, "the name is shown, harmless"
    # SAFE BECAUSE no line of these runs is in colour: what is left is the database's
    seen = {letter for letter in done.output if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")}
    assert seen <= {"\n"}
    assert "\nok: [localhost]\n" not in done.output
