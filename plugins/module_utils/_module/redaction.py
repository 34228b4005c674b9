# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form in which a secret could reach a result, a log or a diff, given to Ansible to mask.

Results never carry secrets on purpose; this is the net under it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping

from .._domain.mongodb_uri import passwords_in
from .._domain.secret_forms import SHORTEST_MASKED, forms, is_secret_name
from .._domain.settings import DATABASE_URI, Settings

_WORD = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")


def masked_values(settings: Settings) -> set[str]:
    """Return the texts to mask: PIN, URI and its password, KEKs, and the other values of the secrets file."""
    secrets = set(_secret_texts(settings))
    keys = [kek.reveal() for kek in settings.keks.values()]
    secrets.update(text for key in keys for text in (key.hex(), key.hex().upper()))
    raw_keys = {base64.b64encode(key).decode("ascii").rstrip("=") for key in keys}
    return raw_keys | {form for secret in secrets for form in forms(secret)}


def words_in(settings: Settings, result: object) -> set[str]:
    """Return the secrets that are ordinary words and part of a result (X37).

    WHY these: masked, they would turn paths and names of the result into others, which the next task cannot find; and
    somebody who chose a word for a secret gains nothing by that. A result holds no secrets: it is the word by chance.
    """
    texts = list(_texts(result))
    return {
        text
        for text in _secret_texts(settings)
        if len(text) >= SHORTEST_MASKED and _WORD.fullmatch(text) and any(text in one for one in texts)
    }


def _secret_texts(settings: Settings) -> Iterator[str]:
    """Yield every secret that is text."""
    yield from (value.reveal() for value in settings.hidden.values())
    if (uri := settings.hidden.get(DATABASE_URI.name)) is not None:
        yield from passwords_in(uri.reveal())
    yield from (value.reveal() for name, value in settings.secrets.items() if is_secret_name(name))


def _texts(result: object) -> Iterator[str]:
    """Yield every text in a result, names of fields too."""
    if isinstance(result, str):
        yield result
    elif isinstance(result, Mapping):
        for name, value in result.items():
            yield from (*_texts(name), *_texts(value))
    elif isinstance(result, (list, tuple)):
        for value in result:
            yield from _texts(value)
