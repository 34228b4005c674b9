# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb pkcs11_token: a SoftHSM2 token with this label is there, with a user PIN. Needs no database.

It is made only in a free slot, and never made again. What is there is left as it is: no PIN is tried or changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.pin_text import pin_in_file
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._keys import registry
from .._keys.pkcs11.token_setup import TokenFacts
from .._store.private_files import read_private


@dataclass(frozen=True, slots=True)
class Options:
    """so_pin_file: with the PIN of the security officer, "" where the token is there already."""

    so_pin_file: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return the token, made where there was none. Raises OpsError pkcs11.*, pin.*, file.*, settings.*."""

    def so_pin() -> Secret[str]:
        if not options.so_pin_file:
            raise OpsError(
                "the token has to be made, and no PIN of its security officer was given",
                code="pkcs11.so_pin_missing",
                hint="name a file with it by so_pin_file; keep it, because only it can set another user PIN",
            )
        path = Path(options.so_pin_file)
        content = read_private(path, empty_code="pin.empty", service_uid=settings.service_uid, whole=True)
        return Secret(pin_in_file(content, origin=str(path)))

    found = registry.device_kind().token_setup(settings, so_pin).run(check=check)
    after: JsonObject = _shown(found.after) if found.after is not None or not found.changed else {"token": "made"}
    if found.changed and found.before is not None:
        after = {**after, "user_pin": "set"}
    return Result(changed=found.changed, values={"token": found.after}, before=_shown(found.before), after=after)


def _shown(token: TokenFacts | None) -> JsonObject:
    """Return what a diff shows of a token."""
    return {"token": "absent" if token is None else {"label": token["label"], "serial": token["serial"]}}
