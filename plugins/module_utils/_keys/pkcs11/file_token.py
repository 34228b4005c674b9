# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that are files of this host, as SoftHSM2 keeps them: which library, which files, who must be able to use them.

Looked at by their names and owners only; the files themselves are the library's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..._domain.access import OTHERS_READ, READ, SEARCH, WRITE, Wanted
from ..._domain.pkcs11_settings import Pkcs11Settings

LIBRARIES = ("libsofthsm2",)  # by the beginning of their file's name
_VARIABLE = "SOFTHSM2_CONF"
_PLACES = ("/etc/softhsm/softhsm2.conf", "/etc/softhsm2.conf")
_FOLDER = re.compile(r"^\s*directories\.tokendir\s*=\s*(\S.*?)\s*$", re.MULTILINE)
_LABEL_BYTES = 32  # PKCS#11: CK_TOKEN_INFO.label, padded with blanks; some callers pad it with NUL
_AT_MOST = 1 << 20  # bytes of a file that is looked into for its label


def is_file_token(module_path: str) -> bool:
    """Return whether the library keeps its tokens in files, by its real name: distributions link to it."""
    return Path(os.path.realpath(module_path)).name.startswith(LIBRARIES)


def used_paths(settings: Pkcs11Settings) -> tuple[Wanted, ...]:
    """Return what the library's user must be able to use: the library, its configuration, the folder of our token."""
    library = dict.fromkeys((settings.module_path, os.path.realpath(settings.module_path)))
    found = [Wanted(path, (READ,), "the HSM's library", OTHERS_READ) for path in library]
    if not is_file_token(settings.module_path):
        return tuple(found)
    configuration = _configuration(settings)
    found.append(Wanted(str(configuration), (READ,), "the configuration of the HSM's library", OTHERS_READ))
    folder = _token_folder(configuration)
    if folder is not None:
        repair = f"chown -R {{owner}} {folder}"
        found.append(Wanted(str(folder), (READ, WRITE, SEARCH), "the tokens' folder", repair))
        found += _of_the_token(folder, settings.token_label)
    return tuple(found)


def _configuration(settings: Pkcs11Settings) -> Path:
    named = settings.environment.get(_VARIABLE) or os.environ.get(_VARIABLE)
    if named:
        return Path(named)
    return next((Path(place) for place in _PLACES if Path(place).exists()), Path(_PLACES[0]))


def _token_folder(configuration: Path) -> Path | None:
    """Return the folder that the configuration names, None where it says nothing that we can read."""
    try:
        found = _FOLDER.findall(configuration.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return Path(found[-1]) if found and found[-1].startswith("/") else None


def _of_the_token(folder: Path, label: str) -> list[Wanted]:
    """Return folder and files of the tokens with our label. WHY only those: others may be other users'."""
    found = []
    for token in sorted(folder.glob("*/token.object")):
        if not _has_label(token, label):
            continue
        repair = f"chown -R {{owner}} {token.parent}"
        found.append(Wanted(str(token.parent), (READ, WRITE, SEARCH), "the token's folder", repair))
        found += [Wanted(str(path), (READ, WRITE), "the token", repair) for path in sorted(token.parent.iterdir())]
    return found


def _has_label(token: Path, label: str) -> bool:
    try:
        with token.open("rb") as raw:
            content = raw.read(_AT_MOST)
    except OSError:
        return False
    length = bytes(7) + bytes([_LABEL_BYTES])  # SoftHSM2 writes it before the bytes
    return any(
        length + label.encode().ljust(_LABEL_BYTES, pad)[: len(label.encode()) + 1] in content for pad in (b" ", b"\0")
    )
