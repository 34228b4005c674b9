# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker's refusal means to an operator: code -> way out, and whether trying again can help.

Every error of `_keys/pkcs11` is made here, so that each names the module and its version. A code to which the pool or a
verb reacts is a class.
"""

from __future__ import annotations

import sys

from ..._domain.errors import KeyNotHere, LoginRefused, OpsError
from ..._domain.pkcs11_settings import Pkcs11Settings

OF_THE_LIBRARY = "pkcs11"  # the fact that every failure made here has
MINIMUM_BINDING = "0.9"


class PinRefused(LoginRefused):
    """The token refused the PIN. It was tried once; this is noted in the database, so that no host tries it again."""

    CODE = "pkcs11.pin_incorrect"
    certain = True


class RefusedBefore(OpsError):
    """The token refused this PIN before, or a login ended without an answer, here or on the host that is named.

    Nothing was tried and the library was not loaded. Correct the PIN. Where the token's PIN was set to this one since,
    run ``kek_pkcs11_init`` once with ``retry_refusal`` and the id of the refusal. One right PIN in about a thousand is
    taken for a refused one; the same option helps.
    """

    CODE = "pkcs11.pin_refused_before"


class RunAs(OpsError):
    """The HSM cannot be used as the user that ``pkcs11_run_as`` or ``service_user`` asks for.

    The host has no such user, the module is not root, or that user cannot run the module's Python.
    """

    CODE = "pkcs11.run_as"


class PinLocked(LoginRefused):
    """The user PIN is locked, as the token's flags or its answer to C_Login say."""

    CODE = "pkcs11.pin_locked"


class PinUnusable(LoginRefused):
    """The token says that the user PIN has expired, or was never set."""

    CODE = "pkcs11.pin_unusable"


class LoginUnanswered(LoginRefused):
    """C_Login was called, and its answer was lost or says nothing about the PIN: it may have counted as a wrong one.

    No host tries it again until somebody says so by `retry_refusal`.
    """

    CODE = "pkcs11.login_unanswered"


LOGIN_UNANSWERED = LoginUnanswered.CODE


class SessionLimit(OpsError):
    """The token gives no more sessions.

    The pool goes on with the workers that it has.
    """

    CODE = "pkcs11.session_limit"


class StartFailed(OpsError):
    """What a worker may meet once at its start and not again: SoftHSM2 processes that start together see no token."""


class TokenNotFound(StartFailed):
    """No token has the label.

    While many processes start, there may be one all the same.
    """

    CODE = "pkcs11.token_not_found"


class ModuleLoadFailed(StartFailed):
    """The library cannot be loaded, or is no PKCS#11 module.

    While many processes start, it may be one all the same.
    """

    CODE = "pkcs11.module_load_failed"


class WorkerLost(OpsError):
    """This worker is no use any more; another one may be, and is given its batch."""


class SessionLost(StartFailed, WorkerLost):
    """The HSM ended the session and gives no other."""

    CODE = "pkcs11.session_lost"


class TokenGone(StartFailed, WorkerLost):
    """The token is not in its slot any more, or does not answer: what each slot says is told."""

    CODE = "pkcs11.token_gone"


class WorkerCrashed(StartFailed, WorkerLost):
    """The process that holds the vendor's library died, as a rule in that library; its signal is named."""

    CODE = "pkcs11.worker_crashed"


class WorkerTimeout(WorkerLost):
    """The library did not answer in time; its process was ended.

    A start that hung once is not tried again: it would hang as long.
    """

    CODE = "pkcs11.worker_timeout"


class KeyNotFound(KeyNotHere):
    """The token does not hold a key with this label and id.

    Where nothing needs the version, the verbs go on without it.
    """

    CODE = "pkcs11.key_not_found"


class WrongKey(KeyNotHere):
    """The key under this label or id is not the one that the keystore means: another id, label or check value.

    Where the token holds none with the id, and nothing needs the version, the verbs go on without it.
    """

    CODE = "pkcs11.wrong_key"


_CLASSES: dict[str, type[OpsError]] = {
    known.CODE: known
    for known in (
        PinRefused, SessionLimit, TokenNotFound, ModuleLoadFailed, SessionLost, TokenGone, WorkerCrashed, WorkerTimeout,
        KeyNotFound, WrongKey, PinLocked, PinUnusable, LoginUnanswered, RefusedBefore,
        RunAs,
    )
}  # fmt: skip

# code -> (hint, retryable). Listed for operators in docs/docsite/rst/guide_failure_codes.rst.
_WAYS_OUT: dict[str, tuple[str, bool]] = {
    "dependency.missing": (
        (
            f"install python-pkcs11 {MINIMUM_BINDING} or newer for {sys.executable}, or point "
            "ansible_python_interpreter at an environment that has it"
        ),
        False,
    ),
    "pkcs11.module_not_found": ("install the vendor's client, or correct encryption.pkcs11.module_path", False),
    "pkcs11.module_load_failed": (
        (
            "check that the library fits this machine and that its own configuration (for SoftHSM2: SOFTHSM2_CONF) is "
            "readable by this user; certautopilot_environment passes variables on"
        ),
        False,
    ),
    "pkcs11.initialize_refused": (
        "set the vendor's client so that it takes a C_Initialize without arguments, or put p11-kit-proxy.so before it",
        False,
    ),
    "pkcs11.token_not_found": (
        (
            "correct encryption.pkcs11.token_label, or have the token made by who administers the HSM; check that the "
            "library's configuration (for SoftHSM2: SOFTHSM2_CONF) is the service's"
        ),
        False,
    ),
    "pkcs11.token_ambiguous": ("set encryption.pkcs11.token_serial to the right one of the serials", False),
    "pkcs11.token_not_made": (
        "look up the CKR name in the library's manual, then run again: it goes on where this run stopped",
        False,
    ),
    "pkcs11.no_free_slot": ("see which library and configuration is used, and how many tokens it allows", False),
    "pkcs11.token_foreign": ("have the token made by the tool of its vendor; this only makes those of SoftHSM2", False),
    "pkcs11.token_label": ("choose a shorter label", False),
    "pkcs11.so_pin_refused": (
        "give the PIN with which the token was made; where nobody has it, the token is of no use: choose another label",
        False,
    ),
    "pkcs11.pin_missing": ("set CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN in secrets.env, or pass pkcs11_pin_file", False),
    "pkcs11.pin_incorrect": (
        "correct CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN before the next run: a token locks after a few wrong PINs",
        False,
    ),
    "pkcs11.login_unanswered": (
        (
            "find out why (the HSM's log, its connection) and how many tries the PIN has left; then run "
            "kek_pkcs11_init once with `retry_refusal` and the id of the refusal, which the next run tells"
        ),
        False,
    ),
    "pkcs11.not_logged_in": (
        "see whether this user may use the token at all: its role, its partition, the client's certificate",
        False,
    ),
    "pkcs11.pin_refused_before": (
        (
            "correct CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN; where the token's PIN was set to this one since, run "
            "kek_pkcs11_init once with `retry_refusal` and the id of the refusal"
        ),
        False,
    ),
    "pkcs11.pin_final_try": (
        "log in once with the right PIN by the vendor's own tool, which clears the flag, then run again",
        False,
    ),
    "pkcs11.pin_locked": ("have the security officer unlock the user PIN", False),
    "pkcs11.pin_unusable": ("set the user PIN with the vendor's own tool", False),
    "pkcs11.session_limit": ("close sessions of other programs, or ask for fewer workers", True),
    "pkcs11.mechanism_missing": ("use a token or firmware that offers CKM_AES_GCM and CKM_AES_KEY_GEN", False),
    "pkcs11.key_generation_refused": ("allow this user to make AES-256 keys that cannot leave the token", False),
    "pkcs11.key_exists": ("find out whose key it is before anything else; nothing was made", False),
    "pkcs11.key_not_found": (
        "restore the key from the HSM's backup or correct the token; never make a new key under its name",
        False,
    ),
    "pkcs11.key_ambiguous": ("find out which key opens the canary, and rename or remove the other by hand", False),
    "pkcs11.wrong_key": ("point the settings at the token that holds this installation's key", False),
    "pkcs11.session_lost": ("run again once the HSM is steady; what was finished is kept", True),
    "pkcs11.token_gone": ("bring the token back (network, slot, service of the HSM), then run again", True),
    "pkcs11.worker_crashed": (
        "run again, what was finished is kept; if it stays, report library version and exit status to the vendor",
        True,
    ),
    "pkcs11.load_crashed": (
        (
            "the library ends its process while it is loaded: check that it fits this machine, its configuration and "
            "its variables; its vendor can read the exit status"
        ),
        False,
    ),
    "pkcs11.worker_timeout": (
        (
            "check the connection to the HSM; for one that is only slow give `pkcs11_timeout`, or "
            "`pkcs11_start_timeout` for its start"
        ),
        True,
    ),
    "pkcs11.iv_length": (
        (
            "have the HSM make IVs of 96 bits: a newer firmware (Thales Luna: 7.9.3), or a partition outside of its "
            "FIPS mode; an IV of another length has no place in the product's envelopes"
        ),
        False,
    ),
    "pkcs11.probe_failed": ("this module cannot be used for KEKs; report library and firmware version", False),
    "pkcs11.operation_failed": ("look up the CKR name in the vendor's manual", False),
    "pkcs11.encryption_failed": ("check that the key may encrypt with CKM_AES_GCM", False),
    "pkcs11.batch_incomplete": ("report this: a worker answered with another number of results than asked", False),
    "pkcs11.run_as": ("correct `pkcs11_run_as`, or leave it out", False),
    "pkcs11.used_after_fork": ("open a provider of its own in the child process", False),
    "pkcs11.not_open": ("open the provider before it is used", False),
    "provider.version_not_loaded": (
        "add the version to the keystore and its key to the token, or name a version that is loaded",
        False,
    ),
}


def failure(settings: Pkcs11Settings, code: str, message: str, *, library: str = "", **facts: object) -> OpsError:
    """Return the error for a code, with module path, token label and (where known) library version in it.

    The PIN is cut out of the message, should a module have repeated it.
    """
    hint, retryable = _WAYS_OUT.get(code, _WAYS_OUT["pkcs11.operation_failed"])
    where = f"module {settings.module_path}" + (f", {library}" if library else "")
    if settings.token_label and f'"{settings.token_label}"' not in message:
        where += f', token "{settings.token_label}"'
    described = {"module_path": settings.module_path, "token_label": settings.token_label, "library": library}
    text = without_pin(settings, f"{message} ({where})")
    kind = _CLASSES.get(code, OpsError)
    error = kind(text, code=code, hint=hint, retryable=retryable)
    error.facts = {OF_THE_LIBRARY: {**described, **facts}}
    return error


def without_pin(settings: Pkcs11Settings, text: str) -> str:
    """Return text with every occurrence of the PIN replaced."""
    return settings.pin.masked_in(text) if settings.pin is not None else text
