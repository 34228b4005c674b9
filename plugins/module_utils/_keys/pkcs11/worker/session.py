# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module, one token, one session: opened, logged in once, opened again when the HSM ended the session.

The session that logs in is the only one and lives as long as the process: closing it would log out everything else, and
private keys would then look missing instead of forbidden.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Container
from typing import NotRequired, TypedDict

from .base import GONE, PIN_WRONG, PinRefused, Refusal, ckr, pkcs11, require_binding
from .binding import Library, Session, Token
from .function_list import RawModule

_CANT_LOCK = " 0xa"  # how the binding's text for a code without a name of its own ends, PKCS#11: CKR_CANT_LOCK


class Configuration(TypedDict):
    """What the parent sends first. login_guard: a descriptor that all workers of a run share, None for one alone.

    parent_pid: None for a process that our parent did not start itself.
    """

    module_path: str
    token_label: str
    token_serial: str
    pin: str
    login_guard: NotRequired[int | None]
    parent_pid: NotRequired[int | None]


class TokenInfo(TypedDict):
    """What the module says about itself and the token. session_cap: None for any number, or where it does not say."""

    library: str
    manufacturer: str
    cryptoki_version: str
    token_label: str
    token_serial: str
    token_model: str
    token_flags: list[str]
    mechanisms: dict[str, bool]
    mechanism_count: int
    session_cap: int | None


class HsmSession:
    """The logged-in session of this worker."""

    def __init__(self, config: Configuration) -> None:
        self.module_path = config["module_path"]
        self.token_label = config["token_label"]
        self.token_serial = config["token_serial"]
        self._pin = config["pin"]
        self._guard = config.get("login_guard")
        self._library: Library | None = None
        self._raw: RawModule | None = None
        self._session: Session | None = None

    def __repr__(self) -> str:
        return f"HsmSession(module_path={self.module_path!r}, token_label={self.token_label!r})"

    @property
    def session(self) -> Session:
        """Return the session, opened again where the HSM refused that before. Raises Refusal pkcs11.*, CKR."""
        return self._session if self._session is not None else self._login()

    @property
    def raw(self) -> RawModule | None:
        """Return the module's own function list, None before the module is loaded."""
        return self._raw

    def open(self) -> None:
        """Load, select, look at the PIN flags, log in. Raises Refusal dependency.missing, pkcs11.*."""
        require_binding()
        self._load()
        self._login()

    def reopen(self) -> None:
        """Give up the session and open another; handles of the old one are dead. Raises Refusal pkcs11.*, CKR."""
        self.close()
        self._login()

    def close(self) -> None:
        """Log out and close, whatever the HSM says to it."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            session.close()
        except Exception:  # noqa: BLE001  the session may be long gone: that is why it is closed
            self._give_back()

    def logged_in(self) -> bool:
        """Return False only when the module says that this session is not logged in as the user."""
        if self._session is None or self._raw is None:
            return False
        return self._raw.logged_in(int(self._session.handle)) is not False

    def library_text(self) -> str:
        """Return the library's description and version, "" before it is loaded."""
        if self._library is None:
            return ""
        version = ".".join(str(part) for part in self._library.library_version)
        return f"{self._library.library_description} {version}".strip()

    def info(self) -> TokenInfo:
        """Return what the module says about itself and the token, of builtin types, read afresh."""
        library, token = self._loaded(), self._select()
        names = {_mechanism_name(mechanism) for mechanism in token.slot.get_mechanisms()}
        flags = token.flags
        raw = self._raw
        return {
            "library": self.library_text(),
            "manufacturer": library.manufacturer_id,
            "cryptoki_version": ".".join(str(part) for part in library.cryptoki_version),
            "token_label": token.label,
            "token_serial": _serial(token),
            "token_model": token.model,
            "token_flags": sorted(flag.name for flag in pkcs11.TokenFlag if flag.name and flag in flags),
            "mechanisms": {"AES_GCM": "AES_GCM" in names, "AES_KEY_GEN": "AES_KEY_GEN" in names},
            "mechanism_count": len(names),
            "session_cap": raw.session_cap(int(token.slot.slot_id)) if raw is not None else None,
        }

    def _load(self) -> None:
        if not os.path.exists(self.module_path):  # noqa: PTH110  shipped code keeps to few imports
            raise Refusal("pkcs11.module_not_found", f"no PKCS#11 module at {self.module_path}")
        try:
            self._library = pkcs11.lib(self.module_path)
        except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
            if str(error).endswith(_CANT_LOCK):
                raise Refusal(
                    "pkcs11.initialize_refused",
                    f"{self.module_path} answers C_Initialize with CKR_CANT_LOCK; it was called without "
                    "CKF_OS_LOCKING_OK, which python-pkcs11 cannot ask for",
                ) from None
            raise Refusal(
                "pkcs11.module_load_failed", f"{self.module_path} cannot be used as a PKCS#11 module ({ckr(error)})"
            ) from None
        self._raw = RawModule(self.module_path)

    def _loaded(self) -> Library:
        if self._library is None:
            raise Refusal("pkcs11.not_open", f"{self.module_path} is not loaded yet")
        return self._library

    def _select(self) -> Token:
        """Return the one token with our label (and serial). Raises pkcs11.token_not_found, pkcs11.token_ambiguous."""
        present, matching = [], []
        for slot in self._loaded().get_slots(token_present=True):
            try:
                token = slot.get_token()
            except Exception:  # noqa: BLE001, S112  a sick slot that is not ours is no reason to stop
                continue
            present.append(token)
            if token.label == self.token_label and self.token_serial in ("", _serial(token)):
                matching.append(token)
        if len(matching) == 1:
            return matching[0]
        wanted = f'label "{self.token_label}"' + (f" and serial {self.token_serial}" if self.token_serial else "")
        if not matching:
            labels = sorted({f'"{token.label}" (serial {_serial(token)})' for token in present if token.label})
            raise Refusal(
                "pkcs11.token_not_found", f"no token with {wanted}, tokens present: {', '.join(labels) or 'none'}"
            )
        serials = sorted(_serial(token) for token in matching)
        raise Refusal(
            "pkcs11.token_ambiguous", f"{len(matching)} tokens with {wanted}, expected 1; serials: {', '.join(serials)}"
        )

    def _login(self) -> Session:
        """Try the PIN once, on a read-write session: some HSMs refuse read-only ones.

        INVARIANT: after one refusal no worker of the run tries it again; the lock goes with a process that dies.
        """
        if self._guard is None:
            return self._log_in()
        fcntl.lockf(self._guard, fcntl.LOCK_EX)
        try:
            if os.pread(self._guard, 1, 0):
                token = f'token "{self.token_label}"'
                raise PinRefused(f"{token} refused the user PIN in this run; it is not tried again")
            return self._log_in()
        except PinRefused:
            os.pwrite(self._guard, b"!", 0)
            raise
        finally:
            fcntl.lockf(self._guard, fcntl.LOCK_UN)

    def _log_in(self) -> Session:
        token = self._select()
        self._refuse_on_pin_flags(token.flags)
        try:
            session = token.open(rw=True, user_pin=self._pin)
        except Exception as error:
            name = type(error).__name__
            if name == "UserAlreadyLoggedIn":  # the library kept the login of the session we gave up
                self._session = token.open(rw=True)
                return self._session
            self._give_back()
            refusal = self._refusal_of_login(name)
            if refusal is None:
                raise
            raise refusal from None
        self._session = session
        return session

    def _give_back(self) -> None:
        """End every session of this process, in C_Finalize, and start the library again.

        WHY: where C_Login or C_Logout fails the binding closes nothing and keeps no handle of what it opened, and an
        HSM with a session cap soon has no room for the next one.
        """
        library = self._loaded()
        for step in (library.finalize, library.initialize):
            try:
                step()
            except Exception:  # noqa: BLE001, S112  the login that comes next says what is wrong
                continue

    def _refuse_on_pin_flags(self, flags: Container[object]) -> None:
        token = f'token "{self.token_label}"'
        if pkcs11.TokenFlag.USER_PIN_LOCKED in flags:
            raise Refusal("pkcs11.pin_locked", f"the user PIN of {token} is locked; no login was tried")
        if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in flags:
            raise Refusal(
                "pkcs11.pin_final_try", f"{token} allows one more wrong PIN before it locks; no login was tried"
            )

    def _refusal_of_login(self, name: str) -> Refusal | None:
        token = f'token "{self.token_label}"'
        if name in PIN_WRONG:
            return PinRefused(f"{token} refuses the user PIN ({name}); one login was tried")
        if name == "PinLocked":
            return Refusal("pkcs11.pin_locked", f"the user PIN of {token} is locked")
        if name in ("PinExpired", "UserPinNotInitialized"):
            return Refusal("pkcs11.pin_unusable", f"{token} has no usable user PIN ({name})")
        if name == "SessionCount":
            return Refusal("pkcs11.session_limit", f"{token} allows no further session")
        if name in GONE:
            return Refusal("pkcs11.token_gone", f"{token} went away during login ({name})")
        return None


def _serial(token: Token) -> str:
    return str(token.serial.decode("ascii", "replace").strip("\0 "))


def _mechanism_name(mechanism: object) -> str:
    return str(getattr(mechanism, "name", mechanism))
