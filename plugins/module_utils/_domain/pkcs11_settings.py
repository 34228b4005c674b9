# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the token is and how to log in to it: the settings that only `_keys/pkcs11` reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import OpsError
from .secret import Secret
from .settings import Setting, Settings

MODULE_PATH = Setting(
    "pkcs11_module_path",
    "CERTAUTOPILOT_ENCRYPTION_PKCS11_MODULE_PATH",
    ("encryption", "pkcs11", "module_path"),
    kind="path",
)
TOKEN_LABEL = Setting(
    "pkcs11_token_label",
    "CERTAUTOPILOT_ENCRYPTION_PKCS11_TOKEN_LABEL",
    ("encryption", "pkcs11", "token_label"),
    blanks=True,  # the token decides
)
TOKEN_SERIAL = Setting(
    "pkcs11_token_serial", "CERTAUTOPILOT_ENCRYPTION_PKCS11_TOKEN_SERIAL", ("encryption", "pkcs11", "token_serial")
)
PIN = Setting(
    "pkcs11_pin", "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN", secret=True, blanks=True, empty_code="pin.empty", typed=True
)
RUN_AS = Setting("pkcs11_run_as", "CERTAUTOPILOT_OPS_PKCS11_RUN_AS")  # not the product's, which runs as its unit says
# Ours too: how long the HSM is waited for, and what else its library reads from secrets.env.
TIMEOUT = Setting("pkcs11_timeout", "CERTAUTOPILOT_OPS_PKCS11_TIMEOUT", kind="int")
START_TIMEOUT = Setting("pkcs11_start_timeout", "CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT", kind="int")
LIBRARY_VARIABLES = Setting("pkcs11_library_variables", "CERTAUTOPILOT_OPS_PKCS11_LIBRARY_VARIABLES")
AUTO, MODULE = "auto", "module"


@dataclass(frozen=True, slots=True)
class Pkcs11Settings:
    """module_path: absolute path of the vendor's library. token_serial: text as the token shows it, "" = label alone.

    pin: user PIN, None when no source gave one (opening then refuses). environment: variables the vendor's library
    reads (SOFTHSM2_CONF and the like), laid over the process environment of the workers.
    run_as: AUTO, MODULE or a user's name. service_uid: of the service's user, None where it is not known. launch: a
    command that starts the workers elsewhere, () for a process of our own.
    """

    module_path: str
    token_label: str
    token_serial: str = ""
    pin: Secret[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    run_as: str = AUTO
    service_uid: int | None = None
    launch: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """Return what the token is called in leases and notes: its label, and its serial number where one is set."""
        return f"{self.token_label}/{self.token_serial}" if self.token_serial else self.token_label


def pkcs11_settings(settings: Settings) -> Pkcs11Settings:
    """Return the token's settings. Raises OpsError settings.missing, settings.module_path."""
    path = settings.require(MODULE_PATH)
    if not path.startswith("/"):
        raise OpsError(
            f'module path "{path}" is not absolute (from {settings.origins[MODULE_PATH.name]})',
            code="settings.module_path",
            hint="give its absolute path; a relative one would load whatever is in the current folder",
        )
    return Pkcs11Settings(
        module_path=path,
        token_label=settings.require(TOKEN_LABEL),
        token_serial=settings.values.get(TOKEN_SERIAL.name, ""),
        pin=settings.require_hidden(PIN),
        environment=settings.hsm_environment,
        run_as=settings.values.get(RUN_AS.name, AUTO),
        service_uid=settings.service_uid,
        launch=settings.device_launch,
    )
