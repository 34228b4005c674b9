# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As whom workers run: a token that is files must be used, and its keys made, by the service's user (X71, ADR-0035).

A key that root makes in SoftHSM2 is a file of root's with mode 0600, which the service cannot read. The only place that
decides this: every verb, and every worker, gets it by its provider's settings.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from ..._domain.errors import OpsError
from ..._domain.pkcs11_settings import AUTO, MODULE, Pkcs11Settings
from .failures import failure
from .file_token import is_file_token

UMASK = 0o077
# What names another user's places: the library would look there.
_OF_THE_CALLER = ("TMPDIR", "MAIL", "SUDO_", "XDG_", "DBUS_")


@dataclass(frozen=True, slots=True)
class Account:
    """A user other than ours. groups: all of the user's, the first one included."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def environment(self, ours: Mapping[str, str]) -> dict[str, str]:
        """Return our environment with this user's own places in it."""
        kept = {name: value for name, value in ours.items() if not name.startswith(_OF_THE_CALLER)}
        return {**kept, "HOME": self.home, "USER": self.name, "LOGNAME": self.name}


def account_of(settings: Pkcs11Settings) -> Account | None:
    """Return as whom workers run, None for the user of this process. Raises OpsError pkcs11.run_as."""
    entry = _wanted(settings) if not settings.launch else None  # what launches them says as whom
    if entry is None or entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        us = _name_of(os.geteuid())
        raise _refused(
            settings,
            f"the HSM is to be used as user {entry.pw_name}, and the module runs as {us}, expected root",
            "run the task with become, or say `pkcs11_run_as: module` where this user may use the token",
        )
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def not_started(settings: Pkcs11Settings, account: Account, program: str, cause: OSError) -> OpsError:
    """Return the failure for an interpreter that this user cannot run."""
    return _refused(
        settings,
        f"user {account.name} cannot run {program} ({cause.strerror}), expected an interpreter that every user can run",
        "use one outside of root's home, as the role runtime makes it, and set ansible_python_interpreter to it",
    )


def failure_of(
    settings: Pkcs11Settings, account: Account | None, code: str, message: str, *, library: str = "", **facts: object
) -> OpsError:
    """Return the error for a worker's refusal: as whom it was refused is part of it, because others may be let in."""
    if code == "pkcs11.key_not_found" and is_file_token(settings.module_path):
        message += "; this token is files of this host, and a key that was made on another host is not in them"
    if account is None:
        return failure(settings, code, message, library=library, **facts)
    told = failure(settings, code, f"{message}, as user {account.name}", library=library, **facts)
    if code != "dependency.missing":
        return told
    hint = f"make the interpreter's folders readable for {account.name}, or {told.hint}"
    return _refused(settings, f"user {account.name} cannot use python-pkcs11: {message}", hint)


def _wanted(settings: Pkcs11Settings) -> pwd.struct_passwd | None:
    if settings.run_as == MODULE:
        return None
    if settings.run_as != AUTO:
        try:
            return pwd.getpwnam(settings.run_as)
        except KeyError:
            raise _refused(
                settings,
                f"this host knows no user {settings.run_as}, expected the one as whom the service runs",
                "correct `pkcs11_run_as`, or leave it out",
            ) from None
    if settings.service_uid is None or not is_file_token(settings.module_path):
        return None
    return pwd.getpwuid(settings.service_uid)


def _refused(settings: Pkcs11Settings, message: str, hint: str) -> OpsError:
    refusal = failure(settings, "pkcs11.run_as", message)
    refusal.hint = hint
    return refusal


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
