# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role token: where a client's files must be, and what its variables files say of the families of HSMs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.token import token_client_files
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.library_variables import PREFIXES

ROLE = Path(__file__).resolve().parents[3] / "roles" / "token"
GUIDE = ROLE.parents[1] / "docs/docsite/rst/guide_tokens.rst"
FAMILIES = {
    path.stem: yaml.safe_load(path.read_text())["__token_family"]
    for path in ROLE.glob("vars/*.yml") if path.stem != "main"
}  # fmt: skip
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
TYPES = {
    "title": str, "made_here": bool, "refused": str, "module_paths": list, "variables": dict, "client_files": list,
    "pin_form": str, "pin_words": str, "iv": list, "flags": list, "look_at": str, "how_far": str,
}  # fmt: skip
FILES = [{"name": "configuration", "path": "/etc/usual", "variable": "WHERE", "what": "its configuration"}]


@pytest.mark.parametrize(
    ("given", "environment", "path"),
    [
        ({}, {}, "/etc/usual"),
        ({}, {"WHERE": "/named"}, "/named"),
        ({"configuration": "/said"}, {"WHERE": "/named"}, "/said"),
        ({"configuration": ""}, {"WHERE": ""}, "/etc/usual"),
    ],
)
def test_a_file_is_where_the_operator_says_or_the_variable_or_where_it_usually_is(given, environment, path):
    assert token_client_files(FILES, given, environment) == [{"path": path, "told": f"{path} (its configuration)"}]


def test_a_name_that_no_file_has_is_refused_with_those_that_there_are():
    with pytest.raises(AnsibleFilterError, match="names configuraton, expected some of: configuration"):
        token_client_files(FILES, {"configuraton": "/x"}, {})
    with pytest.raises(AnsibleFilterError, match="expected some of: none"):
        token_client_files([], {"configuration": "/x"}, {})


def test_every_family_that_can_be_chosen_has_a_file_and_the_other_way_round():
    assert sorted(FAMILIES) == sorted(OPTIONS["token_family"]["choices"])
    assert len(FAMILIES) == 11


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_says_everything_of_the_type_that_the_tasks_expect(family):
    said = FAMILIES[family]

    assert {name: type(value) for name, value in said.items()} == TYPES
    assert all(path.startswith("/") for path in said["module_paths"])
    assert said["module_paths"]
    assert all(set(variable) == {"what", "required"} for variable in said["variables"].values())
    assert [set(file) for file in said["client_files"]] == [{"name", "path", "variable", "what"}] * len(
        said["client_files"]
    )
    assert bool(said["pin_form"]) == bool(said["pin_words"])
    assert set(said["iv"]) <= {"caller", "in_place", "appended"}
    assert bool(said["iv"]) != bool(said["refused"])
    assert said["how_far"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_a_family_reads_from_secrets_env_reaches_its_library(family):
    variables = [*FAMILIES[family]["variables"], *(file["variable"] for file in FAMILIES[family]["client_files"])]

    assert [name for name in variables if name and not name.startswith(PREFIXES)] == []


def test_a_pin_of_two_parts_is_asked_for_where_the_vendor_wants_one():
    two = {family for family, said in FAMILIES.items() if said["pin_form"]}

    assert two == {"aws_cloudhsm", "azure_cloud_hsm"}
    for family in two:
        form = FAMILIES[family]["pin_form"]
        assert re.match(form, "kmsuser:s3cret:with:colons")
        assert not re.match(form, "s3cret")
        assert not re.match(form, ":s3cret")


def test_tokens_of_softhsm2_alone_are_made():
    assert [family for family, said in FAMILIES.items() if said["made_here"]] == ["softhsm2"]


def test_the_guide_has_a_row_for_every_family_and_says_how_far_it_was_tried():
    rows = re.findall(r"\* - (.+)\n     - (.+)\n     - (.+)\n     - (.+)\n", GUIDE.read_text())
    told = {family.strip("`"): how_far for _title, family, _special, how_far in rows if family.startswith("``")}

    assert {family: FAMILIES[family]["how_far"] for family in FAMILIES} == {
        family: told.get(family) for family in FAMILIES
    }
