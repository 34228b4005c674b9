# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether keys may leave, by whatever records say so; what is not understood is no yes (X93)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import record_id_text
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.key_export_policy import KeyExportPolicy

YES = {"_id": "certificate_policy", "allow_key_export": True}


def said(general=(), projects=(), policies=(), project="p"):
    withheld = KeyExportPolicy(general, projects, policies).withholds(project)
    return withheld.code if withheld else "yes"


@pytest.mark.parametrize("approval", [None, False, [], "none", {"enabled": False}, {"download_key": False}, ["revoke"]])
def test_x93_a_plain_yes_is_one(approval):
    assert said([{**YES, "approval": approval}]) == "yes"
    assert said([{"_id": "certificate_policy", "allowKeyExport": True}]) == "yes"


@pytest.mark.parametrize(
    "approval", [True, ["download_key"], "admin", {"download_key": True}, {"who": "x"}, {"kinds": ["download_key"]}]
)
def test_x93_an_approval_is_waited_for(approval):
    assert said([{**YES, "approval": approval}]) == "export.key_waits"


@pytest.mark.parametrize("allow", [False, None, "true", 1, [True]])
def test_x93_whatever_is_no_yes_is_a_no(allow):
    assert said([{**YES, "allow_key_export": allow}]) == "export.key_forbidden"
    assert said() == "export.key_forbidden"
    assert said([{"_id": "another", "allow_key_export": True}]) == "export.key_forbidden"


@pytest.mark.parametrize(
    "nearer",
    [
        {"projects": [{"_id": "p", "certificate_policy": {"allow_key_export": False}}]},
        {"projects": [{"_id": "p", "settings": {"certificate_policy": {"allow_key_export": False}}}]},
        {"policies": [{"_id": 1, "project_id": "p", "allow_key_export": False}]},
    ],
)
def test_x93_the_projects_own_policy_goes_first(nearer):
    assert said([YES], **nearer) == "export.key_forbidden"
    assert said([YES], **nearer, project="other") == "yes"


@pytest.mark.parametrize("own", ["locked", True, [], 7])
def test_x93_a_policy_of_a_project_that_is_not_understood_is_no_yes(own):
    for record in ({"certificate_policy": own}, {"settings": {"certificate_policy": own}}):
        assert said([YES], [{"_id": "p", **record}]) == "export.key_forbidden"


def test_x93_of_two_policies_of_one_project_each_must_allow():
    allowing, forbidding = ({"project_id": "p", "allow_key_export": yes} for yes in (True, False))

    assert said(policies=[{"_id": 1, **allowing}, {"_id": 2, **forbidding}]) == "export.key_forbidden"
    assert said(policies=[{"_id": 1, **allowing}], projects=[{"_id": "p", "certificate_policy": forbidding}]) != "yes"


def test_x93_a_project_whose_id_is_bytes_has_its_own_policy():
    policies = [{"_id": 1, "project_id": b"\x01\x02", "allow_key_export": False}]

    assert said([YES], policies=policies, project=record_id_text(b"\x01\x02")) == "export.key_forbidden"


def test_x93_other_settings_of_a_project_are_no_policy():
    assert said([YES, {"_id": "p:mail", "project_id": "p", "to": "a@b"}]) == "yes"
    assert said([YES, {"_id": "p:certificate_policy", "project_id": "p"}]) == "export.key_forbidden"
    assert said([YES, {"_id": 3, "project_id": "p", "certificate_policy": {"allow_key_export": False}}]) != "yes"
