# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for roles and playbooks: every failure of their own has a code, stages are files, files say what they do."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.registry import KINDS

ROOT = Path(__file__).resolve().parents[2]
TASK_FILES = sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("playbooks/*.yml")])
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
# A code keeps its area when a role is renamed; import is the verb that import_data calls.
AREAS = {"import_data": "import", "prove_equal": "verify", "retire_old_install": "retire"}
SHARED = {"config_file", "secrets_file", "service_user", "catalogue"}
REQUIRE = "certautopilot.ops.require"
PROVIDERS = sorted(kind.NAME for kind in KINDS)
YAML = {".yml", ".yaml", ".j2"}
GROUP = "group/certautopilot.ops.kek"


def tasks_in(document):
    """Yield every task of a file, blocks included."""
    for entry in document or []:
        yield entry
        for part in ("block", "rescue", "always", "tasks"):
            yield from tasks_in(entry.get(part))


def tasks(path):
    return list(tasks_in(yaml.safe_load(path.read_text())))


def named(path):
    return str(path.relative_to(ROOT))


def stages():
    """Return the stages of a migration, in their order."""
    variables = yaml.safe_load((ROOT / "roles/migrate/vars/main.yml").read_text())
    return [*variables["__migrate_stages"], *variables["__migrate_stages_after_acceptance"]]


def rehearsed():
    """Return the files that a rehearsal runs."""
    return yaml.safe_load((ROOT / "roles/migrate/vars/main.yml").read_text())["__migrate_rehearsal_stages"].values()


@pytest.fixture
def refusals(monkeypatch):
    """Every check of a role or playbook that has a code; the folder of the reader is no package."""
    monkeypatch.syspath_prepend(ROOT / ".ci")
    return importlib.import_module("codes_in_source").refusals_of_roles()


def test_no_task_fails_without_a_code():
    # given: assert, fail and failed_when with text are what would fail without one
    offenders = [
        f"{named(path)}: {task['name']}" for path in TASK_FILES for task in tasks(path)
        if {"ansible.builtin.assert", "ansible.builtin.fail"} & set(task)
    ]  # fmt: skip

    assert TASK_FILES
    assert offenders == []


def test_every_requirement_says_what_was_expected_and_has_a_way_out():
    requirements = [(path, task) for path in TASK_FILES for task in tasks(path) if REQUIRE in task]

    silent = [f"{named(path)}: {task['name']}" for path, task in requirements if not task[REQUIRE]["hint"].strip()]
    unexpected = [
        f"{named(path)}: {task['name']}" for path, task in requirements
        if "expected" not in task[REQUIRE]["msg"] and task[REQUIRE]["that"] is not False
    ]  # fmt: skip
    in_line = [named(path) for path, task in requirements if re.match(r"[a-z_]+\.[a-z_]+: ", task[REQUIRE]["msg"])]

    assert len(requirements) > 20
    assert (silent, unexpected, in_line) == ([], [], [])


def bool_options(role):
    entries = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {
        name for entry in entries.values() for name, option in (entry.get("options") or {}).items()
        if option.get("type") == "bool"
    }  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_bool_that_comes_as_text_from_the_command_line_is_what_it_says(role):
    """`-e option=false` is the text "false", which is true to a condition without `| bool`."""
    folder = ROOT / "roles" / role
    conditions = [str(task.get("when", "")) for path in folder.rglob("tasks/**/*.yml") for task in tasks(path)]
    conditions += [
        line for path in folder.rglob("templates/**/*.j2") for line in re.findall("{%.*?%}", path.read_text())
    ]

    taken_as_is = [
        (name, condition) for name in bool_options(role) for condition in conditions
        if re.search(rf"\b{name}\b(?! *\| *bool| is none)", condition)
    ]  # fmt: skip

    assert taken_as_is == []


def test_a_code_is_of_the_area_of_its_role(refusals):
    roles = {entry.where.split("``")[1]: entry.code.split(".")[0] for entry in refusals if "the role" in entry.where}

    assert roles == {**{role: role for role in roles}, **AREAS}


def test_the_codes_of_roles_are_stable(refusals):
    """A code that goes, or gets another name, breaks whoever reads it: only add to this list.

    service.not_ready and service.not_quiesced are codes of modules by now.
    """
    assert sorted({entry.code for entry in refusals}) == [
        "backup.files_missing",
        "backup.jumped",
        "export.no_host",
        "import.bundle_missing",
        "install.access",
        "install.config_differs",
        "install.database_not_empty",
        "install.folder",
        "install.hsm_unfit",
        "install.jumped",
        "install.no_host",
        "install.node_failed",
        "install.node_secrets_differ",
        "install.nodes_differ",
        "install.not_locked",
        "install.nothing_received",
        "install.options",
        "install.secret_file",
        "install.secrets_differ",
        "kubernetes.certificate",
        "kubernetes.external",
        "kubernetes.hsm",
        "kubernetes.jumped",
        "kubernetes.name",
        "kubernetes.no_host",
        "kubernetes.open_secret",
        "kubernetes.secrets_file",
        "kubernetes.variables",
        "migrate.<stage>",
        "migrate.accept",
        "migrate.empty",
        "migrate.failed",
        "migrate.finished",
        "migrate.jumped",
        "migrate.no_bundle",
        "migrate.preflight",
        "migrate.proof",
        "migrate.rehearsal",
        "migrate.report",
        "migrate.rollback",
        "migrate.start",
        "migrate.turn",
        "migrate.turn_lost",
        "recover.no_host",
        "retire.jumped",
        "retire.no_secrets",
        "retire.preflight",
        "retire.unfinished",
        "rollback.failed",
        "rollback.jumped",
        "rollback.loss",
        "rollback.not_serving",
        "rollback.not_stopped",
        "rollback.preflight",
        "rollback.retired_for_good",
        "rollback.source_gone",
        "rollback.turn",
        "rotate.another_host",
        "rotate.cancel_removes",
        "rotate.failed",
        "rotate.host_missing",
        "rotate.jumped",
        "rotate.no_host",
        "rotate.not_converged",
        "rotate.stop_removes",
        "rotate.unconfirmed",
        "rotate.versions",
        "rotate.workers",
        "runtime.not_used",
        "runtime.python_missing",
        "runtime.venv_missing",
        "runtime.wheels_missing",
        "status.no_host",
        "token.client_file_missing",
        "token.config_differs",
        "token.family_unfit",
        "token.jumped",
        "token.made_elsewhere",
        "token.module_missing",
        "token.no_group",
        "token.not_found",
        "token.pin_form",
        "token.pin_missing",
        "token.variable_missing",
        "verify.not_equal",
    ]


def test_the_stages_of_a_migration_are_stable_because_each_is_a_code():
    assert stages() == [
        "backup", "export", "empty", "install", "import", "quiesce", "differences", "proof", "accept", "start", "report"
    ]  # fmt: skip


def test_the_folder_of_stages_holds_the_stages_of_a_migration_and_nothing_else():
    files = [path.name for path in (ROOT / "roles/migrate/tasks/stages").iterdir()]

    assert sorted(files) == sorted(f"{stage}.yml" for stage in stages())


@pytest.mark.parametrize("role", ROLES)
def test_no_two_task_files_of_a_role_have_one_name_and_each_is_included(role):
    folder = ROOT / "roles" / role / "tasks"
    paths = [path for path in folder.rglob("*.yml") if path.parent.name not in PROVIDERS[1:]]
    names = Counter(path.name for path in paths)
    text = "\n".join(path.read_text() for path in folder.rglob("*.yml"))

    entries = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    included = {f"{entry}.yml" for entry in entries} | {f"{stage}.yml" for stage in stages()}
    included |= {Path(name).name for name in re.findall(r"(?:include|import)_tasks: (\S+)", text)}
    included |= set(re.findall(r'include_tasks: "{{ \w+_provider }}/(\S+)"', text))
    included |= {Path(name).name for name in rehearsed()}
    unused = [name for name in names if name != "main.yml" and name not in included]

    assert [name for name, count in names.items() if count > 1] == []
    assert unused == []


@pytest.mark.parametrize("kind", ["tasks", "templates"])
def test_a_new_provider_is_a_folder_of_its_own_beside_the_others(kind):
    folders = {
        folder.name: sorted(file.name for file in folder.iterdir())
        for folder in (ROOT / "roles/install" / kind).iterdir() if folder.is_dir()
    }  # fmt: skip

    assert sorted(folders) == sorted(PROVIDERS)
    assert len({tuple(files) for files in folders.values()}) == 1, "a provider lacks a file that another one has"


def test_no_role_or_playbook_asks_which_provider_it_is():
    names = "|".join(PROVIDERS)
    asked = re.compile(rf"""(?:[=!]=\s*|\bin\b[^\n]*)['"](?:{names})['"]|['"](?:{names})['"]\s*[=!]=""")
    files = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*") if path.suffix in YAML]
    offenders = [named(path) for path in files if asked.search(path.read_text())]

    assert asked.search("when: install_provider == 'pkcs11'")
    assert asked.search("lock.provider in ['env', 'pkcs11']")
    assert len(files) > 60
    assert offenders == []


@pytest.mark.parametrize("path", TASK_FILES, ids=named)
def test_the_options_that_every_module_takes_are_given_once_for_a_role(path):
    """A role with several tasks of ours gives them in module_defaults; a task of its own says only what differs."""
    role = ROOT / Path(*path.relative_to(ROOT).parts[:2])
    given = [
        GROUP in (task.get("module_defaults") or {}) for other in role.glob("tasks/**/*.yml") for task in tasks(other)
    ]
    repeated = [
        task["name"] for task in tasks(path) for module, options in task.items()
        if module.startswith("certautopilot.ops.") and isinstance(options, dict)
        and any(str(value) == f"{{{{ {role.name}_{key} }}}}" for key, value in options.items() if key in SHARED)
    ]  # fmt: skip

    assert not (any(given) and repeated)


def test_the_defaults_for_all_modules_name_only_options_that_all_of_them_take():
    groups = {
        named(path): set(task["module_defaults"][GROUP]) for path in TASK_FILES for task in tasks(path)
        if GROUP in (task.get("module_defaults") or {})
    }  # fmt: skip

    assert len(groups) >= 3
    assert {place for place, options in groups.items() if options != SHARED} == set()
