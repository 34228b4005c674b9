# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md is read on pages of others: its links are absolute and lead to what is here; its example can be used."""

from __future__ import annotations

import re
import subprocess
import sys

import yaml

from tests.support.repository import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]
PLACES = (f"{REPOSITORY}/blob/main/", REPOSITORY.replace("github.com", "raw.githubusercontent.com") + "/main/")
LINKS = re.findall(r"\]\(([^)\s]+)\)", README)


def test_every_link_is_absolute():
    assert [link for link in LINKS if not link.startswith("https://")] == []


def test_every_link_into_the_repository_leads_to_a_file_of_it():
    inside = [link.removeprefix(place) for link in LINKS for place in PLACES if link.startswith(place)]

    assert len(inside) > 50
    assert [path for path in inside if not (ROOT / path).exists()] == []


def test_it_names_every_role():
    roles = [path.name for path in (ROOT / "roles").iterdir()]

    assert [role for role in roles if f"[`{role}`]({PLACES[0]}roles/{role}/README.md)" not in README] == []


def test_the_inventory_of_the_first_migration_has_the_options_of_the_role():
    block = re.search(r"```yaml\n# inventory\.yml\n(.*?)```", README, re.DOTALL)
    assert block
    told = yaml.safe_load(block[1])["all"]["vars"]["migrate_destination"]
    specs = yaml.safe_load((ROOT / "roles/migrate/meta/argument_specs.yml").read_text(encoding="utf-8"))
    known = specs["argument_specs"]["main"]["options"]["migrate_destination"]["options"]

    assert set(told) <= set(known)
    assert {name for name, option in known.items() if option.get("required")} <= set(told)


def test_the_picture_is_what_its_script_draws():
    command = [sys.executable, ".ci/pictures.py", "--check"]

    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
