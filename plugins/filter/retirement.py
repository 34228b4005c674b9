# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role retire_old_install: what keeps it from being done, and whose backups are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.plugin_utils import _retirement


def retirement_missing(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """Return what does not hold, [{code, msg, hint}]. facts: see the filter's page. Raises AnsibleFilterError."""
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"expected a dictionary of facts, found {type(facts).__name__}")
    return _retirement.retirement_missing(facts)


def off_host_copy(facts: Mapping[str, object]) -> str:
    """Return why a copy of a backup does not count as one on another machine; empty for one that does."""
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"expected a dictionary of facts, found {type(facts).__name__}")
    return _retirement.off_host_copy(facts)


def backups_of(manifests: Sequence[object], install_id: str | None) -> list[str]:
    """Return the folders of the backups of an installation. manifests: results of slurp."""
    return _retirement.backups_of(manifests, install_id)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "backups_of": backups_of,
            "off_host_copy": off_host_copy,
            "retirement_missing": retirement_missing,
        }
