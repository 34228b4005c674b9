# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's documentation says is what it takes and gives: options, fragments, verbs, attributes, examples."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ACTIONS = {"bundle_transfer", "in_step", "require"}  # documentation only: they run on the controller
MODULES = sorted(
    path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem not in {"__init__", *ACTIONS}
)
ON_NO_INSTALLATION = {
    "bundle_identity",
    "product_service",
    "return_switch",
    "runtime_environment",
    "secrets_archive",
    "service_unit_info",
}
ATTRIBUTES = {"check_mode", "diff_mode", "idempotent", "platform", "action_group"}
COLLECTION = "certautopilot.ops"
PLUGINS = "ansible_collections.certautopilot.ops.plugins"


@cache
def documentation():
    """Return FQCN -> what ansible-doc prints, fragments merged in."""
    asked = [
        sys.executable,
        "-m",
        "ansible",
        "doc",
        "-t",
        "module",
        "-j",
        *(f"{COLLECTION}.{name}" for name in (*MODULES, *ACTIONS)),
    ]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections")}
    return json.loads(subprocess.run(asked, check=True, capture_output=True, text=True, env=environment).stdout)


def page(name):
    return documentation()[f"{COLLECTION}.{name}"]


def loaded(name):
    return importlib.import_module(f"{PLUGINS}.modules.{name}")


def own_options(name):
    """Return the module's own argument spec, without the shared options."""
    shared = importlib.import_module(f"{PLUGINS}.module_utils._module.arguments")
    of_all = {**shared.MONGODB, **shared.PROVIDER, **shared.SOURCE}
    return {key: spec for key, spec in loaded(name).ARGUMENTS.items() if key not in of_all}


def has_source(name):
    """Whether the module works on a second installation, whose settings the verb gets as its option `source`."""
    return "source_config_file" in loaded(name).ARGUMENTS


def verb_options(name):
    """Return the Options of the verb that the module's `main` passes on."""
    for node in ast.walk(ast.parse((ROOT / f"plugins/modules/{name}.py").read_text())):
        if isinstance(node, ast.Attribute) and node.attr == "Options":
            return importlib.import_module(f"{PLUGINS}.module_utils._verbs.{node.value.id}").Options
    raise AssertionError(f"{name} passes no Options on")


def shape(spec):
    """Return what documentation and argument spec must agree on."""
    wanted = {"type": "str", "required": False, "default": None, "choices": None, "elements": None, "aliases": []}
    return {key: spec.get(key, missing) for key, missing in wanted.items()}


def test_there_is_a_page_for_every_module():
    assert len(MODULES) == 28
    assert sorted(documentation()) == sorted(f"{COLLECTION}.{name}" for name in (*MODULES, *ACTIONS))


def test_the_readme_names_every_module_and_playbook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    playbooks = [f"{COLLECTION}.{path.stem}" for path in (ROOT / "playbooks").glob("*.yml")]

    assert [name for name in (*MODULES, *ACTIONS, *playbooks) if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("name", MODULES)
def test_the_documented_options_are_the_argument_spec(name):
    documented = {key: shape(option) for key, option in page(name)["doc"].get("options", {}).items()}

    assert documented == {key: shape(spec) for key, spec in loaded(name).ARGUMENTS.items()}


BY_THE_ACTION = {"kek_rotate": {"progress", "slice_seconds"}}  # ADR-0011
FRAGMENTS = [
    ("_mongodb", "MONGODB"), ("_provider", "PROVIDER"), ("_service_api", "SERVICE_API"),
    ("_certificate_filter", "CERTIFICATE_FILTER"), ("_source_installation", "SOURCE"),
]  # fmt: skip


@pytest.mark.parametrize(("fragment", "constant"), FRAGMENTS)
def test_a_fragment_is_its_part_of_the_shared_argument_spec(fragment, constant):
    text = importlib.import_module(f"{PLUGINS}.doc_fragments.{fragment}").ModuleDocFragment.DOCUMENTATION
    shared = getattr(importlib.import_module(f"{PLUGINS}.module_utils._module.arguments"), constant)

    documented = {key: shape(option) for key, option in yaml.safe_load(text)["options"].items()}

    assert documented == {key: shape(spec) for key, spec in shared.items()}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_offers_every_option_of_its_verb_and_no_other(name):
    made_of_others = ["source"] if has_source(name) else []
    of_the_verb = sorted([*(set(own_options(name)) - BY_THE_ACTION.get(name, set())), *made_of_others])
    assert of_the_verb == sorted(field.name for field in fields(verb_options(name)))


@pytest.mark.parametrize("name", MODULES)
def test_an_option_that_the_verb_insists_on_is_required_and_the_other_way_round(name):
    insisted = {f.name for f in fields(verb_options(name)) if f.default is MISSING and f.default_factory is MISSING}

    assert {key for key, spec in own_options(name).items() if spec.get("required")} == insisted


@pytest.mark.parametrize("name", MODULES)
def test_whatever_sounds_secret_says_whether_it_is(name):
    sounding = [
        key for key, spec in loaded(name).ARGUMENTS.items()
        if any(word in key for word in ("pin", "pass", "secret", "token", "key", "uri")) and "no_log" not in spec
    ]  # fmt: skip

    assert sounding == []


@pytest.mark.parametrize("name", MODULES)
def test_secrets_are_not_logged(name):
    hidden = {key for key, spec in loaded(name).ARGUMENTS.items() if spec.get("no_log")}

    of_source = {"source_mongodb_uri", "source_pkcs11_pin"} if has_source(name) else set()
    assert hidden == (set() if name in ON_NO_INSTALLATION else {"mongodb_uri", "pkcs11_pin", *of_source})


@pytest.mark.parametrize("name", MODULES)
def test_every_attribute_is_stated_and_check_mode_is_full(name):
    attributes = page(name)["doc"]["attributes"]

    assert set(attributes) >= ATTRIBUTES
    assert attributes["check_mode"]["support"] == "full"
    assert attributes["idempotent"]["support"] == "full"
    assert attributes["action_group"]["support"] == ("none" if name in ON_NO_INSTALLATION else "full")


@pytest.mark.parametrize("name", MODULES)
def test_every_returned_key_is_described_and_a_failure_is_one(name):
    def undescribed(keys, above=""):
        for key, value in keys.items():
            if not (value.get("description") and value.get("type")):
                yield f"{above}{key}"
            yield from undescribed(value.get("contains") or {}, f"{above}{key}.")

    returned = page(name)["return"]

    assert list(undescribed(returned)) == []
    assert set(returned["failure"]["contains"]) == {"code", "step", "retryable", "hint"}
    assert len(returned) > 1


@pytest.mark.parametrize("name", MODULES)
def test_an_example_is_a_task_with_options_that_exist(name):
    tasks = yaml.safe_load(page(name)["examples"])
    ours = [task[f"{COLLECTION}.{name}"] or {} for task in tasks if f"{COLLECTION}.{name}" in task]

    assert ours
    assert all(task.get("name") for task in tasks)
    assert [key for options in ours for key in options if key not in loaded(name).ARGUMENTS] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_required_library_is_documented_with_the_minimum_that_is_checked(name):
    libraries = dict(importlib.import_module(f"{PLUGINS}.module_utils._module.dependencies").LIBRARIES.values())
    stated = [line.split(" (")[0].split(" >= ") for line in page(name)["doc"]["requirements"]]

    assert {project: minimum for project, minimum in stated if project != "python"}.items() <= libraries.items()
    assert ["python", "3.11"] in stated


@pytest.mark.parametrize("name", MODULES)
def test_a_module_file_holds_documentation_imports_arguments_and_main_only(name):
    tree = ast.parse((ROOT / f"plugins/modules/{name}.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]

    assert [function.name for function in functions] == ["main"]
    assert functions[0].end_lineno - functions[0].lineno < 15
    assert not [node for node in tree.body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_an_action_that_reaches_no_host_takes_the_documented_options_and_fails_as_a_module_does(name):
    documented = page(name)["doc"]["options"]
    taken = importlib.import_module(f"{PLUGINS}.action.{name}").ARGUMENTS

    assert {key: shape(option) for key, option in documented.items()} == {key: shape(own) for key, own in taken.items()}
    assert set(page(name)["doc"]["attributes"]) >= ATTRIBUTES
    assert set(page(name)["return"]["failure"]["contains"]) == {"code", "step", "retryable", "hint"}
