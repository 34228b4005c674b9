# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role kubernetes: its documents, its Secret, and what is wrong with its options. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.plugins.filter.core import to_nice_yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.environment_file import parse_assignments
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.plugin_utils import _kubernetes


def kubernetes_manifests(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return file name -> document, none with a secret. options: of the role. Raises AnsibleFilterError."""
    return _kubernetes.manifests(_options(options), lambda document: str(to_nice_yaml(document, indent=2)))


def kubernetes_secret(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Secret with the variables of a secrets.env. Raises AnsibleFilterError without any value in it."""
    return _kubernetes.secret(_options(options), _variables(text))


def kubernetes_missing(text: str, options: Mapping[str, Any]) -> list[str]:
    """Return the names of variables that are needed and not in the text. Raises AnsibleFilterError."""
    known = _variables(text)
    return [name for name in _kubernetes.required_variables(_options(options)) if not known.get(name)]


def kubernetes_secrets_in(config: object) -> list[str]:
    """Return the places in a configuration that hold what looks like a secret."""
    return list(_kubernetes.secrets_in(config))


def kubernetes_no_names(names: Mapping[str, object]) -> list[str]:
    """Return the options among these whose value cannot name anything in a cluster, sorted."""
    return sorted(option for option, name in names.items() if not _kubernetes.is_name(name))


def _options(options: object) -> Mapping[str, Any]:
    if not isinstance(options, Mapping) or "release" not in options:
        raise AnsibleFilterError("expected the options of the role kubernetes")
    # WHY: Ansible's texts carry where they come from, and a YAML writer does not know them.
    plain: dict[str, Any] = json.loads(json.dumps(options, default=str))
    return plain


def _variables(text: str) -> dict[str, str]:
    try:
        return dict(parse_assignments(text, origin="kubernetes_secrets_file"))
    except OpsError as refusal:
        raise AnsibleFilterError(f"{refusal.code}: {refusal.message}; {refusal.hint}") from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {
            "kubernetes_manifests": kubernetes_manifests,
            "kubernetes_secret": kubernetes_secret,
            "kubernetes_missing": kubernetes_missing,
            "kubernetes_secrets_in": kubernetes_secrets_in,
            "kubernetes_no_names": kubernetes_no_names,
        }
