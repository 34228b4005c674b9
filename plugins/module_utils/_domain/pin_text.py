# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user PIN may look like: the one reader of PIN files, for modules and roles. Pure.

A PIN that nobody can have typed costs a try of a token that counts them, so it is refused before any login (X62).
"""

from __future__ import annotations

from .errors import OpsError
from .secret import Secret


def pin_in_file(content: bytes, *, origin: str) -> str:
    """Return the PIN in a file's content, without the one line end that an editor adds. origin: for messages.

    Raises OpsError pin.empty, pin.not_typed.
    """
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise OpsError(
            f"cannot read {origin} (UnicodeDecodeError)", code="file.unreadable", hint="write the PIN into it, in UTF-8"
        ) from None
    if not text.strip():
        raise OpsError(f"{origin} is empty", code="pin.empty", hint="write the PIN into it")
    if text.startswith("\ufeff"):
        raise _not_typed(origin, "begins with a byte order mark")
    if text != text.strip(" "):
        raise _not_typed(origin, "has blanks at its ends")
    require_typed(Secret(text), origin=origin)
    return text


def require_typed(pin: Secret[str], *, origin: str) -> None:
    """Raises OpsError pin.not_typed for a PIN with a character that no keyboard gives, such as a line end."""
    if pin.has_controls():
        raise _not_typed(origin, "holds a control character, such as a line end or a tab,")


def _not_typed(origin: str, what: str) -> OpsError:
    return OpsError(
        f"the PIN in {origin} {what} and cannot be what was typed when the PIN was set; no login was tried",
        code="pin.not_typed",
        hint="write the PIN alone, in UTF-8, with at most one line end after it; a PIN that really has blanks at its "
        "ends goes into secrets.env, in double quotes",
    )
