# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of several verbs share."""

from __future__ import annotations

import pytest


@pytest.fixture
def identity(empty_env_site):
    """The file of the destination's age identity."""
    path = empty_env_site.folder / "identity"
    empty_env_site.call("bundle_identity", path=str(path))
    return path


@pytest.fixture
def target(new_site):
    """A fresh database of another name; nothing is in it."""
    site = new_site()
    site.write()
    return site
