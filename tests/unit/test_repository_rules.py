# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that hold for the repository as a whole. Each test returns the offenders, so that a failure names them all.

What imports what inside plugins/module_utils is import-linter's (`make floors`); here are the rules that it cannot see.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from tests.support.repository import files, text

HEADER = (
    "# Copyright (c) 2026 the certautopilot.ops authors",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
UTILS = "plugins/module_utils"
HOSTS_LOCK = "roles/runtime/files/lock.txt"

# library -> the only places below plugins/ that may import it (ADR-0001)
DOORS = {
    "bson": (f"{UTILS}/_store/driver.py",),
    "pymongo": (f"{UTILS}/_store/driver.py",),
    "pyrage": (f"{UTILS}/_store/age_keys.py", f"{UTILS}/_store/sealed_file.py"),
    "pkcs11": (f"{UTILS}/_keys/pkcs11/",),
    "yaml": (f"{UTILS}/_module/", "plugins/filter/"),
    "cryptography": (f"{UTILS}/_domain/", f"{UTILS}/_keys/"),
    "ansible": (
        f"{UTILS}/_module/",
        "plugins/modules/",
        "plugins/action/",
        "plugins/doc_fragments/",
        "plugins/filter/",
    ),
}

# Places of one machine, and hosts of package indexes. Written in pieces: this file is searched as well.
FOREIGN = re.compile(
    "|".join((
        r"(?<![\w.-])/" + r"(?:work/|root/\.|home/[a-z])",
        "/opt/" + "(?:pypi|wheels)",
        r"\." + "pyenv/",
        "pypi" + r"\.org",
        "python" + r"hosted\.org",
        "deb" + r"\.debian\.org",
        "registry" + r"\.npmjs",
        "fa" + "rm-[a-z]",
    ))
)  # fmt: skip


def below(*folders: str, suffix: str = "") -> list[str]:
    return [name for name in files() if name.startswith(folders) and name.endswith(suffix)]


def load(name: str) -> dict:
    return yaml.safe_load(text(name)) or {}


def imported(name: str) -> set[str]:
    """Top-level names of what a Python file imports absolutely."""
    found = set()
    for node in ast.walk(ast.parse(text(name))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


def release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def roles() -> list[str]:
    return sorted({name.split("/")[1] for name in below("roles/") if name.count("/") > 1})


def test_the_list_of_files_is_not_empty():
    assert {"galaxy.yml", "pyproject.toml"} <= set(files())


def test_every_python_file_and_script_with_text_carries_the_licence_header():
    scripts = [name for name in files() if name.endswith((".py", ".sh")) or name in ("Makefile", ".ci/run")]

    offenders = []
    for name in scripts:
        lines = text(name).splitlines()
        start = 1 if lines and lines[0].startswith("#!") else 0
        if lines and tuple(lines[start : start + 3]) != HEADER:
            offenders.append(name)

    assert offenders == []


LOCKS = [f"requirements/{name}.txt" for name in ("bootstrap", "dev-py311", "dev-py312", "dev-py313")]


@pytest.mark.parametrize("lock", [*LOCKS, HOSTS_LOCK])
def test_a_lock_pins_by_hash_and_names_no_address(lock):
    # given: one logical line for each requirement
    requirements = text(lock).replace("\\\n", " ").splitlines()

    pinned = re.compile(r"[A-Za-z0-9._\[\]-]+==\S+( ;[^-]*)?(\s+--hash=sha256:[0-9a-f]{64})+")
    loose = [line for line in requirements if not pinned.fullmatch(line)]

    assert requirements
    assert loose == []
    assert "://" not in text(lock)


def test_the_lock_of_hosts_has_every_library_at_a_version_that_is_allowed():
    bounds = dict(re.findall(r"^([\w-]+) ?>= ?([\d.]+)$", text("requirements.txt"), re.MULTILINE))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", text(HOSTS_LOCK), re.MULTILINE))

    too_old = {name for name, bound in bounds.items() if release(pins[name.lower()]) < release(bound)}

    assert len(bounds) == 5
    assert too_old == set()


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_hosts_get_the_versions_that_are_tested(lock):
    tested, shipped = (dict(re.findall(r"^([\w-]+)==(\S+)", text(name), re.MULTILINE)) for name in (lock, HOSTS_LOCK))

    assert {name: tested.get(name) for name in shipped} == shipped


def test_the_lock_of_hosts_does_not_depend_on_where_it_is_read():
    """The controller downloads wheels by it for hosts of another Python (ADR-0034)."""
    markers = re.findall(r"(\bpython_\w+|sys_platform|platform_machine|platform_system|os_name)", text(HOSTS_LOCK))

    assert markers == []


def test_the_execution_environment_and_the_hosts_get_the_same_libraries():
    bounds = [
        [line for line in text(name).splitlines() if line and not line.startswith("#")]
        for name in ("requirements.txt", "meta/ee-requirements.txt")
    ]

    assert bounds[0] == bounds[1]


def test_libraries_come_in_by_their_own_door_only():
    offenders = [
        f"{name} imports {library}"
        for name in below("plugins/", suffix=".py")
        for library in sorted(imported(name) & set(DOORS))
        if not name.startswith(DOORS[library])
    ]

    assert offenders == []


def test_the_oracle_shares_no_code_with_what_it_judges():
    offenders = [name for name in below("tests/support/", suffix=".py") if "ansible_collections" in imported(name)]

    assert offenders == []


def test_no_file_names_a_place_of_one_machine_or_a_package_index():
    skipped = ("LICENSE",)
    offenders = []
    for name in files():
        if name in skipped or name.endswith((".png", ".gz", ".der", ".p12")):
            continue
        for number, line in enumerate(text(name).splitlines(), 1):
            if FOREIGN.search(line):
                offenders.append(f"{name}:{number}: {line.strip()[:80]}")

    assert offenders == []


def test_no_playbook_prints_what_a_failed_task_returned():
    offenders = [name for name in below("roles/", "playbooks/", suffix=".yml") if "ansible_failed_result" in text(name)]

    assert offenders == []


@pytest.mark.parametrize("role", roles())
def test_a_role_documents_exactly_the_variables_that_it_has(role):
    # given
    defaults = load(f"roles/{role}/defaults/main.yml") if f"roles/{role}/defaults/main.yml" in files() else {}
    entries = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    options = {key: spec for entry in entries.values() for key, spec in (entry.get("options") or {}).items()}

    # when
    undocumented = sorted(set(defaults) - set(options))
    without_default = sorted(key for key in set(options) - set(defaults) if not options[key].get("required"))
    different = sorted(
        key for key in set(options) & set(defaults)
        if "default" in options[key] and "{{" not in str(defaults[key]) and options[key]["default"] != defaults[key]
    )  # fmt: skip

    # then
    assert (undocumented, without_default, different) == ([], [], [])


@pytest.mark.parametrize("role", roles())
def test_the_readme_of_a_role_says_what_happens_when_it_runs_again_or_fails(role):
    readme = text(f"roles/{role}/README.md")

    wanted = ("Idempotency", "Atomicity", "Roll-back")
    missing = [title for title in wanted if not re.search(rf"^#+ {title}", readme, re.MULTILINE)]

    assert missing == []


def test_the_action_group_is_the_list_of_modules_that_work_on_an_installation():
    modules = sorted(Path(name).stem for name in below("plugins/modules/", suffix=".py") if "__init__" not in name)

    # WHY without these: they take none of the shared options, and the group's would break them.
    alone = (
        "bundle_identity",
        "bundle_transfer",
        "in_step",
        "product_service",
        "require",
        "return_switch",
        "runtime_environment",
        "secrets_archive",
        "service_unit_info",
    )
    for name in alone:
        modules.remove(name)
    assert load("meta/runtime.yml")["action_groups"]["kek"] == modules


def test_no_sanity_test_is_ignored():
    assert [name for name in below("tests/sanity/") if text(name).strip()] == []


def test_decisions_are_short_listed_and_honest_about_their_price():
    records = [name for name in below("docs/decisions/", suffix=".md") if not name.endswith("README.md")]
    index = text("docs/decisions/README.md")

    words = ("Status:", "Date:", "## Context", "## Decision", "## Negative consequences")
    too_long = [name for name in records if text(name).count("\n") > 60]
    unlisted = [name for name in records if Path(name).name not in index]
    silent = [f"{name}: {word}" for name in records for word in words if word not in text(name)]

    assert records
    assert (too_long, unlisted, silent) == ([], [], [])
