# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of secrets.env that are passed to the PKCS#11 library, by the beginning of their names.

The libraries of HSM vendors find their token and its configuration by them. Two values are two tokens, each with its
own keys, so a variable that differs between secrets.env and the environment is refused.
"""

from __future__ import annotations

PREFIXES = (
    "SOFTHSM2_CONF",  # SoftHSM2
    "ChrystokiConfigurationPath",  # Thales Luna
    "CKNFAST_",  # Entrust nShield
    "NFAST_",
    "CS_PKCS11_",  # Utimaco
    "YUBIHSM_PKCS11_",  # YubiHSM 2
    "P11NETHSM_",  # Nitrokey NetHSM
    "ET_PTKC_",  # Thales ProtectServer
    "ET_HSM_",
)
