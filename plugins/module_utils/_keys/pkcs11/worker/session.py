# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module, one token, one session: opened, logged in once, opened again when the HSM ended the session.

The session that logs in is the only one and lives as long as the process: closing it would log out everything else, and
private keys would then look missing instead of forbidden.
"""

from __future__ import annotations

import os
from collections.abc import Container
from typing import NotRequired, TypedDict

from .base import PIN_WRONG, Refusal, pkcs11, require_binding
from .binding import Library, Session, Token
from .ckr import ckr
from .function_list import RawModule
from .gate import Gate, OpenGate
from .gcm_calls import error_of
from .slots import select, serial_of

_CANT_LOCK = " 0xa"  # how the binding's text for a code without a name of its own ends, PKCS#11: CKR_CANT_LOCK


class Configuration(TypedDict):
    """What the parent sends first.

    parent_pid: None for a process that our parent did not start itself. login: False where the library is only looked
    at.
    """

    module_path: str
    token_label: str
    token_serial: str
    pin: str
    parent_pid: NotRequired[int | None]
    login: NotRequired[bool]


class TokenInfo(TypedDict):
    """What the module says about itself and the token. session_cap: None for any number, or where it does not say."""

    library: str
    manufacturer: str
    cryptoki_version: str
    token_label: str
    token_serial: str
    token_model: str
    firmware: str
    token_flags: list[str]
    mechanisms: dict[str, bool]
    mechanism_count: int
    session_cap: int | None


class HsmSession:
    """The logged-in session of this worker."""

    def __init__(self, config: Configuration, gate: Gate | None = None) -> None:
        self.module_path = config["module_path"]
        self.token_label = config["token_label"]
        self.token_serial = config["token_serial"]
        self._pin = config["pin"]
        self._logs_in = config.get("login", True)
        self._gate: Gate = gate or OpenGate()
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
    def is_open(self) -> bool:
        """Return whether there is a session that is logged in."""
        return self._session is not None

    @property
    def raw(self) -> RawModule | None:
        """Return the module's own function list, None before the module is loaded."""
        return self._raw

    @property
    def library(self) -> Library:
        """Return the binding's library. Raises Refusal pkcs11.not_open."""
        return self._loaded()

    def token(self) -> Token:
        """Return our token, its flags read afresh. Raises Refusal pkcs11.token_*."""
        return self._select()

    def open(self) -> None:
        """Load, select, look at the PIN flags, log in. Raises Refusal dependency.missing, pkcs11.*."""
        require_binding()
        self._load()
        if self._logs_in:
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
        if self._raw is not None:
            self._raw.logout(int(session.handle))
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
            "token_serial": serial_of(token),
            "token_model": token.model,
            "firmware": ".".join(str(part) for part in token.firmware_version),
            "token_flags": sorted(flag.name for flag in pkcs11.TokenFlag if flag.name and flag in flags),
            "mechanisms": {"AES_GCM": "AES_GCM" in names, "AES_KEY_GEN": "AES_KEY_GEN" in names},
            "mechanism_count": len(names),
            "session_cap": raw.session_cap(int(token.slot.slot_id)) if raw is not None else None,
        }

    def _load(self) -> None:
        if not os.path.exists(self.module_path):  # noqa: PTH110  shipped code keeps to few imports
            raise Refusal("pkcs11.module_not_found", f"no PKCS#11 module at {self.module_path}")
        self._gate.at("C_Initialize")
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
        self._raw = RawModule(self.module_path, self._library)

    def _loaded(self) -> Library:
        if self._library is None:
            raise Refusal("pkcs11.not_open", f"{self.module_path} is not loaded yet")
        return self._library

    def _select(self) -> Token:
        return select(self._loaded(), self.token_label, self.token_serial)

    def _login(self) -> Session:
        """Try the PIN once, on a read-write session: some HSMs refuse read-only ones.

        INVARIANT: once C_Login was called, only CKR_OK allows another one in this run (X54). What fails before it is
        tried again.
        """
        self._gate.at("C_OpenSession")
        token = self._select()
        self._refuse_on_pin_flags(token.flags)
        session = self._open_session(token)
        try:
            self._gate.enter()
            session, error = self._log_in(token, session)
        except BaseException:
            self._forget(session)
            raise
        if error is None or type(error).__name__ == "UserAlreadyLoggedIn":  # the library kept an earlier login
            self._gate.passed()
        else:
            self._forget(session)
            raise self._refusal_of_login(error, token.flags)
        if self._raw is not None and self._raw.logged_in(int(session.handle)) is False:
            self._forget(session)
            raise Refusal(
                "pkcs11.not_logged_in",
                f'token "{self.token_label}" answers C_Login with CKR_OK and C_GetSessionInfo with a public session',
            )
        self._session = session
        return session

    def _open_session(self, token: Token) -> Session:
        try:
            # WHY read-only there: it is all that such a token gives, and it is enough for wrapping and unwrapping.
            return token.open(rw=pkcs11.TokenFlag.WRITE_PROTECTED not in token.flags)
        except Exception as error:
            if type(error).__name__ == "SessionCount":
                said = f'token "{self.token_label}" allows no further session ({ckr(error)})'
                raise Refusal("pkcs11.session_limit", said) from None
            raise

    def _log_in(self, token: Token, session: Session) -> tuple[Session, Exception | None]:
        """Return the session, and what C_Login failed with."""
        self._gate.at("C_Login")
        rv = None if self._raw is None else self._raw.login(int(session.handle), self._pin.encode("utf-8"))
        if rv is not None:
            return session, error_of(rv) if rv else None
        # The binding logs in together with a new session; the first one has shown that the token gives one.
        session.close()
        rw = pkcs11.TokenFlag.WRITE_PROTECTED not in token.flags
        try:
            return token.open(rw=rw, user_pin=self._pin), None
        except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
            if type(error).__name__ == "UserAlreadyLoggedIn":
                return token.open(rw=rw), error
            self._give_back()
            return session, error

    def _forget(self, session: Session) -> None:
        try:
            session.close()
        except Exception:  # noqa: BLE001  it may be closed, or gone
            self._give_back()

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

    def _refusal_of_login(self, error: Exception, flags: Container[object]) -> Refusal:
        token, name, text = f'token "{self.token_label}"', type(error).__name__, ckr(error)
        if name in PIN_WRONG:
            pad = pkcs11.TokenFlag.PROTECTED_AUTHENTICATION_PATH in flags
            said = "; it says that it takes its PIN by a path of its own (a key pad)" if pad else ""
            return Refusal("pkcs11.pin_incorrect", f"{token} refuses the user PIN ({text}); one login was tried{said}")
        if name == "PinLocked":
            return Refusal("pkcs11.pin_locked", f"the user PIN of {token} is locked ({text})")
        if name in ("PinExpired", "UserPinNotInitialized"):
            return Refusal("pkcs11.pin_unusable", f"{token} has no usable user PIN ({text})")
        return Refusal("pkcs11.login_unanswered", f"C_Login of {token} ended with {text}: the PIN may have counted")


def _mechanism_name(mechanism: object) -> str:
    return str(getattr(mechanism, "name", mechanism))
