# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling a module as Ansible does: arguments as JSON in, one JSON object out, exit code 0 or 1."""

from __future__ import annotations

import contextlib
import importlib
import json

import pytest
from ansible.module_utils import basic


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Return call(main, check=, diff=, verbosity=, installed=, **options) -> the printed result, with `rc` added.

    No default file of this host gets in. installed: False for a module without the shared options.
    """
    sources = "ansible_collections.certautopilot.ops.plugins.module_utils._module.configuration"
    absent = {"config_file": str(tmp_path / "absent.yaml"), "secrets_file": str(tmp_path / "absent.env")}
    monkeypatch.setattr(f"{sources}.DEFAULT_CONFIG_FILE", absent["config_file"])
    monkeypatch.setattr(f"{sources}.DEFAULT_SECRETS_FILE", absent["secrets_file"])

    # A module runs on its own; a test that imported an action plugin has made this process a controller.
    with contextlib.suppress(ImportError):
        monkeypatch.setattr(importlib.import_module("ansible.module_utils._internal"), "is_controller", False)

    def run(main, *, check=False, diff=False, verbosity=0, installed=True, **options):
        given = {
            **(absent if installed else {}),
            **options,
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            "_ansible_verbosity": verbosity,
            "_ansible_remote_tmp": str(tmp_path),
        }
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode(), raising=False)
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # wanted by ansible-core >= 2.19
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return {**json.loads(capsys.readouterr().out), "rc": ended.value.code}

    return run
