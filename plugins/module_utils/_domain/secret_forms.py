# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that give a secret away, and which lines of an environment file are secrets. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from .mongodb_uri import passwords_in
from .visible import visible

SHORTEST_MASKED = 6  # characters: masking "1234" would garble every count that contains it, and so reveal it


def forms(secret: str) -> Iterator[str]:
    """Yield raw, percent-encoded, base64 and hex forms of a secret that is long enough to be masked safely."""
    if len(secret) < SHORTEST_MASKED:
        return
    raw = secret.encode()
    yield secret
    yield visible(secret)  # as a result has it
    yield quote(secret, safe="")
    yield base64.b64encode(raw).decode("ascii").rstrip("=")
    yield raw.hex()


def is_secret_name(name: str) -> bool:
    """Return whether a line of secrets.env holds a secret. WHY not all: a path masked everywhere garbles messages."""
    return re.search(r"KEK_V|PIN$|SECRET|PEPPER|PASSW|PASSPHRASE|CREDENTIAL|TOKEN$|KEY$|URI$|URL$", name) is not None


def secrets_in(variables: Mapping[str, str]) -> list[str]:
    """Return the sorted names of variables whose values nobody may see; a path or a URI without a password is none."""
    return sorted(name for name, value in variables.items() if is_secret_name(name) and _gives_away(name, value))


def _gives_away(name: str, value: str) -> bool:
    if name.endswith(("URI", "URL")):
        return bool(passwords_in(value))
    return bool(value.strip()) and not value.startswith("/")


def values_to_hide(variables: Mapping[str, str]) -> set[str]:
    """Return what nobody may read in a service's log: every value but paths and what is short and no secret.

    A value of several lines is hidden line by line too, because a log has it so.
    """
    hidden: set[str] = set()
    for name, value in variables.items():
        if is_secret_name(name):
            hidden.update((value, *value.splitlines(), *passwords_in(value)))
        elif len(value) >= SHORTEST_MASKED and not value.startswith("/"):
            hidden.add(value)
    return {value for value in hidden if value.strip()}


def raw_values(text: str) -> dict[str, str]:
    """Return name -> value of an environment file that nobody can read by its grammar: whatever may be a value.

    WHY guess: a broken file is why a service does not start, and the log that says so may quote it.
    """
    found = {}
    for number, line in enumerate(text.splitlines()):
        name, equals, value = line.partition("=")
        if equals:
            found[f"{number}:{name.strip()}"] = value.strip()
            found[f"{number}:unquoted:{name.strip()}"] = value.strip(" \t\"'").replace("\\", "")
        elif len(line.strip()) >= SHORTEST_MASKED and not line.lstrip().startswith(("#", ";")):
            found[f"{number}:SECRET"] = line.strip()
    return found


class Mask:
    """Hides secrets in lines of text. A line with a secret too short to be masked safely is left out as a whole."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = set(secrets)
        masked = {form for secret in known for form in (*forms(secret), *_as_json(secret))}
        short = {re.escape(secret) for secret in known if len(secret) < SHORTEST_MASKED}
        longest_first = sorted(map(re.escape, masked), key=len, reverse=True)
        self._masked = re.compile("|".join(longest_first)) if longest_first else None
        self._short = re.compile(rf"(?<![0-9A-Za-z])(?:{'|'.join(sorted(short))})(?![0-9A-Za-z])") if short else None

    def __call__(self, line: str) -> str:
        shown = self._masked.sub("********", line) if self._masked else line
        return "(a line that holds a secret is left out)" if self._short and self._short.search(shown) else shown


def _as_json(secret: str) -> Iterator[str]:
    """Yield the secret as a log of JSON lines has it."""
    if len(secret) >= SHORTEST_MASKED:
        yield json.dumps(secret)[1:-1]
        yield json.dumps(secret, ensure_ascii=False)[1:-1]
