# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in tasks of Ansible: command, shell, raw, script and `pipe` lookups, in blocks, handlers and plays too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from . import from_shell

_TEMPLATE = re.compile(r"\{\{[^}]*?([A-Za-z_]\w*).*?\}\}", re.DOTALL)
_PIPE = re.compile(r"""(?:lookup|query|q)\(\s*['"](?:ansible\.builtin\.)?pipe['"]\s*,\s*['"]([^'"]*)""")
_ITEM = "{{item}}"
_LISTS = ("command", "script", "expect")  # argv, or one line without a shell
_SHELLS = ("shell", "raw")
_COLLECTIONS = ("ansible.builtin", "ansible.legacy")  # ansible-lint refuses short names


class _Loader(yaml.SafeLoader):
    """Ansible's own tags (!vault, !unsafe) are read as what they are put on."""


def _untagged(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _untagged)


def calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name of the task, command). `{{variable}}` is a command that a variable holds."""
    for found in _PIPE.findall(text):
        yield from (("lookup", name) for name in from_shell.commands(_marked(found)))
    yield from _walk(yaml.load(text, Loader=_Loader))


def _walk(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for entry in node:
            yield from _walk(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            collection, _dot, module = str(key).rpartition(".")
            if collection in _COLLECTIONS and module in (*_LISTS, *_SHELLS):
                found = _of_module(module, value)
                if found[:1] == [_ITEM]:
                    found = _of_loop(node.get("loop")) + found[1:]
                yield from ((str(node.get("name", "?")), name) for name in found)
            else:
                yield from _walk(value)


def _of_module(module: str, value: Any) -> list[str]:
    options = value if isinstance(value, dict) else {"cmd": value}
    if options.get("argv"):
        argv = options["argv"]
        # A list that a template makes is named by the first variable in it: [ansible_playbook_python, '-m', …] + more.
        first = _marked(str(argv[0] if isinstance(argv, list) else argv))
        return [first.rpartition("/")[2]]
    line = _marked(str(options.get("cmd") or options.get("command") or options.get("_raw_params") or ""))
    return from_shell.commands(line)[: None if module in _SHELLS else 1]


def _of_loop(loop: Any) -> list[str]:
    """Return the commands of a loop that is a list, or the first variable of one that is a template."""
    return [_marked(str(item)).rpartition("/")[2] for item in (loop if isinstance(loop, list) else [loop])]


def _marked(text: str) -> str:
    """Each template as one word, `{{variable}}`, by its first variable."""
    return _TEMPLATE.sub(lambda found: "{{" + found[1] + "}}", text)
