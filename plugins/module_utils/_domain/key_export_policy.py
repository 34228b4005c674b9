# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the installation allows keys to leave it: "Allow key export" of the certificate policy, as records say (X93).

The vendor documents the setting and not where it is kept (ADR-0040): the places below are the only ones that know it.
Where no policy is found, or none that can be understood, keys stay: the product asks for a yes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .catalogue import record_id_text
from .certificate_source import Problem
from .values import BsonValue, Document

SETTINGS, POLICY_ID = "settings", "certificate_policy"
POLICIES = "certificate_policies"  # one record a project, with project_id
IN_PROJECT = ((POLICY_ID,), (SETTINGS, POLICY_ID))  # steps in a record of `projects`
ALLOW = ("allow_key_export", "allowKeyExport")
APPROVAL = ("approval", "require_approval", "requires_approval")
_KIND = "download_key"


class KeyExportPolicy:
    """What the records say, by project. INVARIANT: the nearest decide: all of the project's, else the general one."""

    def __init__(self, general: Iterable[Document], projects: Iterable[Document], policies: Iterable[Document]) -> None:
        """general: of `settings`. projects: of `projects`. policies: of `certificate_policies`."""
        self._general: Mapping[str, BsonValue] | None = None
        self._of_project: dict[str, list[Mapping[str, BsonValue]]] = {}
        for document in projects:
            for steps in IN_PROJECT:
                self._note(record_id_text(document.get("_id")), _at(document, steps))
        for document in general:
            if document.get("_id") == POLICY_ID:
                self._general = document
            elif _is_policy(document):
                self._note(record_id_text(document.get("project_id")), document.get(POLICY_ID, document))
        for document in policies:
            if document.get("project_id") is not None:
                self._note(record_id_text(document["project_id"]), document)
            elif document.get("_id") == POLICY_ID:
                self._general = document

    def _note(self, project: str, policy: BsonValue) -> None:
        if policy is not None:  # one that is not understood is a policy that allows nothing
            self._of_project.setdefault(project, []).append(policy if isinstance(policy, Mapping) else {})

    def withholds(self, project: str) -> Problem | None:
        """Return why keys of a project stay, None where they may leave. project: its id as text."""
        general = [] if self._general is None else [self._general]
        policies = self._of_project.get(project, general)
        if not policies:
            return Problem("export.key_forbidden", "no certificate policy was found that allows key export")
        return next((problem for policy in policies if (problem := _withheld_by(policy)) is not None), None)


def _is_policy(settings: Document) -> bool:
    """Return whether settings of a project are its policy, not some others of it."""
    named = POLICY_ID in record_id_text(settings.get("_id"))
    return named or any(name in settings for name in (POLICY_ID, *ALLOW, *APPROVAL))


def _withheld_by(policy: Mapping[str, BsonValue]) -> Problem | None:
    if not any(policy.get(name) is True for name in ALLOW):
        return Problem("export.key_forbidden", "the certificate policy does not allow key export")
    if any(_asks(policy.get(name)) for name in APPROVAL):
        return Problem("export.key_waits", "the certificate policy asks for an approval of each download of a key")
    return None


def _asks(approval: BsonValue) -> bool:
    """Return whether an approval is asked for. What is not understood asks for one."""
    if isinstance(approval, Mapping):
        asked = [value for name, value in approval.items() if name in (_KIND, "enabled", "kinds")]
        return any(_asks(value) for value in asked) if asked else bool(approval)
    if isinstance(approval, (list, tuple)):
        return _KIND in approval
    return bool(approval) and approval not in ("none", "never")


def _at(document: Document, steps: Sequence[str]) -> BsonValue:
    value: BsonValue = document
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
