# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of configuration files share."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host without default files: host(environment=…, **options) -> Settings; host.file(name, text, mode) -> path."""
    monkeypatch.setattr(configuration, "DEFAULT_CONFIG_FILE", str(tmp_path / "default.yaml"))
    monkeypatch.setattr(configuration, "DEFAULT_SECRETS_FILE", str(tmp_path / "default.env"))
    warnings = []

    def read(environment=None, **options):
        return configuration.settings_from(options, environment=environment or {}, warn=warnings.append)

    def file(name, text, mode=0o600):
        path = tmp_path / name
        path.write_bytes(text.encode())
        path.chmod(mode)
        return str(path)

    read.file, read.warnings, read.folder = file, warnings, tmp_path
    return read
