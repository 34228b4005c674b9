# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calling a module as Ansible does: arguments as JSON in, one JSON object out, exit code 0 or 1."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils import basic


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Return call(main, check=, diff=, verbosity=, **options) -> the printed result, with `rc` added.

    No default file of this host and no CERTAUTOPILOT_ variable gets in, unless the test gives it.
    """
    settings_from = "ansible_collections.certautopilot.ops.plugins.module_utils._module.sources"
    for name in ("DEFAULT_CONFIG_FILE", "DEFAULT_SECRETS_FILE"):
        monkeypatch.setattr(f"{settings_from}.{name}", str(tmp_path / "absent" / name))

    def run(main, *, check=False, diff=False, verbosity=0, **options):
        given = {
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
