# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for secrets.env: write its lines, and name what it says otherwise than the options, or than another one.

The grammar is `_domain/environment_file.py`, the same that the modules read with. Values are secrets: none of them is
in what the other two return, nor in an error.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.environment_file import (
    differing_names,
    disagreeing_names,
    format_assignments,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pin_text import pin_in_file
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret_forms import secrets_in


def environment_lines(values: Mapping[str, object]) -> str:
    """Return one NAME=value line for each value, each ended by a newline."""
    try:
        return format_assignments(_texts(values))
    except OpsError as refusal:
        raise _failed(refusal) from None


def environment_differences(text: str, wanted: Mapping[str, object], origin: str = "secrets.env") -> list[str]:
    """Return the names that the text gives another value, or none."""
    try:
        return differing_names(text, _texts(wanted), origin=origin)
    except OpsError as refusal:
        raise _failed(refusal) from None


def environment_disagreements(text: str, other: str, origin: str = "secrets.env") -> list[str]:
    """Return the names to which the two texts give different values, or only one of them any."""
    try:
        return disagreeing_names(text, other, origin=origin)
    except OpsError as refusal:
        raise _failed(refusal) from None


def pin_text(content: str, origin: str = "the PIN file") -> str:
    """Return the user PIN in the content of a file, in Base64 as ansible.builtin.slurp gives it."""
    try:
        return pin_in_file(base64.b64decode(content), origin=origin)
    except OpsError as refusal:
        raise _failed(refusal) from None


def without_secrets(environment: Mapping[str, object]) -> Mapping[str, object]:
    """Return the environment of a task as it is. Refuses one with a secret: it is in argv, and shown at -vvv (X30)."""
    names = secrets_in(_texts(environment))
    if names:
        raise _failed(
            OpsError(
                f"the environment of a task has {', '.join(names)}, expected no secret there",
                code="settings.environment",
                hint="Ansible puts it into the command line of each task on the host, and shows it at -vvv; put it "
                "into secrets.env, or into a file that an option such as pkcs11_pin_file names",
            )
        )
    return environment


def _texts(values: object) -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise AnsibleFilterError(f"expected a dictionary of NAME to value, found {type(values).__name__}")
    return {str(name): str(value) for name, value in values.items()}


def _failed(refusal: OpsError) -> AnsibleFilterError:
    return AnsibleFilterError(f"{refusal.code}: {refusal.message}; {refusal.hint}")


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "environment_lines": environment_lines,
            "environment_differences": environment_differences,
            "environment_disagreements": environment_disagreements,
            "pin_text": pin_text,
            "without_secrets": without_secrets,
        }
