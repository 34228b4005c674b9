# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config.yaml as the service reads it; what two readers could take for two different things is refused (X95)."""

from __future__ import annotations

from collections.abc import Mapping

from .._domain.environment_file import grammar

try:
    import yaml
except ImportError:  # reported by name in dependencies.py
    yaml = None  # type: ignore[assignment]

MERGE = "<<"  # YAML's own key, which may stand in a mapping as often as there is something to merge


def parse(content: str, path: str) -> Mapping[str, object]:
    """Return the mapping in a file. Raises OpsError file.grammar, also for a key that is there twice."""
    try:
        _refuse_twins(yaml.compose(content, Loader=yaml.SafeLoader), path)
        document = yaml.safe_load(content) or {}
    except yaml.YAMLError:
        # SAFE BECAUSE the cause is dropped: a YAML error quotes the line, which may hold a URI.
        raise grammar(path, "it is not YAML") from None
    if not isinstance(document, Mapping):
        raise grammar(path, f"it holds a {type(document).__name__}, expected a mapping")
    return document


def _refuse_twins(node: object, path: str) -> None:
    """WHY: the library lets the last one win in silence, and another reader the first."""
    waiting, seen = [node], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:  # an alias leads to what was looked at already, or into a circle
            continue
        seen.add(id(one))
        if isinstance(one, yaml.SequenceNode):
            waiting.extend(one.value)
        if not isinstance(one, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in one.value:
            waiting.append(value)
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and name != MERGE:
                raise grammar(path, f"line {line} has the key of line {lines[name]} again, and only one can count")
            lines[name] = line
