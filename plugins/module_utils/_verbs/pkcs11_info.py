# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb pkcs11_info: what a PKCS#11 library, its slots and a token can do, found by trying. Needs no database.

Where one is configured, its notes of refused PINs are kept to, as every other verb does (ADR-0015). Without one nobody
remembers a refusal, so a PIN is not tried that the token says was refused lately.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import DATABASE_URI, Settings
from .._installation.installation import open_database
from .._installation.login_turn import login_turn_of
from .._keys import registry
from .._keys.pkcs11.examination import Asked

MOST_WORKERS, LONGEST_S = 64, 60


@dataclass(frozen=True, slots=True)
class Options:
    """login: try the PIN. token_key: make a key of the token, and destroy it. parallel: processes to measure with.

    seconds: for each of them.
    """

    login: bool = True
    token_key: bool = False
    parallel: tuple[int, ...] = (1, 2, 4, 8)
    seconds: int = 1


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return what was found. In check mode no key of the token is made. Raises OpsError settings.*, dependency.*."""
    if not all(1 <= number <= MOST_WORKERS for number in options.parallel) or not 1 <= options.seconds <= LONGEST_S:
        raise OpsError(
            f"parallel {list(options.parallel)} and seconds {options.seconds}, expected numbers from 1 to "
            f"{MOST_WORKERS}, and from 1 to {LONGEST_S}",
            code="settings.seconds",
            hint="correct them, or leave them out",
        )
    kind = registry.device_kind()
    with ExitStack() as stack:
        noted = options.login and settings.hidden.get(DATABASE_URI.name) is not None
        store = stack.enter_context(open_database(settings)) if noted else None
        turn = login_turn_of(kind.first_login(settings), store) if store is not None else None
        asked = Asked(
            login=options.login,
            noted=noted,
            token_key=options.token_key and not check,
            parallel=options.parallel,
            seconds=options.seconds,
        )
        found = kind.examine(settings, asked, turn)
    return Result(changed=False, values=found, before={}, after={})
