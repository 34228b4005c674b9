# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form in which a secret could reach a result, a log or a diff, given to Ansible to mask.

Results never carry secrets on purpose; this is the net under it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote, urlsplit

from .._domain.settings import DATABASE_URI, Settings

_WORD = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")
SHORTEST_MASKED = 6  # characters: masking "1234" would garble every count that contains it, and so reveal it


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
    yield from (value.reveal() for name, value in settings.secrets.items() if _is_secret(name))


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


def forms(secret: str) -> Iterator[str]:
    """Yield raw, percent-encoded, base64 and hex forms of a secret that is long enough to be masked safely."""
    if len(secret) < SHORTEST_MASKED:
        return
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield base64.b64encode(raw).decode("ascii").rstrip("=")
    yield raw.hex()


def passwords_in(uri: str) -> Iterable[str]:
    """Return the password of a URI as it is and decoded, nothing where it has none."""
    try:
        password = urlsplit(uri).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()


def _is_secret(name: str) -> bool:
    """Return whether a line of secrets.env holds a secret. WHY not all: a path masked everywhere garbles messages."""
    return re.search(r"KEK_V|PIN$|SECRET|PEPPER|PASSW|PASSPHRASE|CREDENTIAL|TOKEN$|KEY$|URI$|URL$", name) is not None
