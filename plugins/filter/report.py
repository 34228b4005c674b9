# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for reports: what a migration and a rotation report, and the page that shows it.

Pure functions of what modules returned. None of them sees a secret: results of this collection hold none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.plugin_utils import (
    _migration_failure,
    _migration_report,
    _report_page,
    _rotation_report,
)

KINDS = (
    _migration_report.MIGRATION, _migration_report.REHEARSAL, _migration_report.ROTATION, _migration_failure.FAILURE,
)  # fmt: skip


def migration_report(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the report of a migration. facts: see the filter's page. Raises AnsibleFilterError when they are none."""
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"expected a dictionary of facts, found {type(facts).__name__}")
    return _migration_report.migration_report(facts)


def migration_failure(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the evidence of a migration that failed. facts: see the filter's page. Raises AnsibleFilterError."""
    if not isinstance(facts, Mapping):
        raise AnsibleFilterError(f"expected a dictionary of facts, found {type(facts).__name__}")
    return _migration_failure.migration_failure(facts)


def rotation_report(info: Mapping[str, object], hosts: Sequence[str]) -> dict[str, object]:
    """Return the report of a rotation. info: of kek_info. hosts: that took part. Raises AnsibleFilterError."""
    if not isinstance(info, Mapping) or not isinstance(info.get("rotation"), Mapping):
        raise AnsibleFilterError("expected what kek_info returned, with a rotation in it")
    return _rotation_report.rotation_report(info, [str(one) for one in hosts])


def report_html(report: Mapping[str, object]) -> str:
    """Return the page of a report, HTML in one file. Raises AnsibleFilterError when it is no report of a known kind."""
    kind = report.get("kind") if isinstance(report, Mapping) else None
    if kind not in KINDS:
        raise AnsibleFilterError(f"expected a report of kind {', '.join(KINDS)}, found kind {kind!r}")
    return _report_page.page(report)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "migration_failure": migration_failure,
            "migration_report": migration_report,
            "rotation_report": rotation_report,
            "report_html": report_html,
        }
