# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of secrets.env that are passed to the PKCS#11 library: families of HSMs, by how the names begin.

The libraries of HSM vendors find their token and its configuration by them. Two values are two tokens, each with its
own keys, so a variable that differs between secrets.env and the environment is refused.
"""

from __future__ import annotations

FAMILIES = {
    "SoftHSM2": ("SOFTHSM2_CONF",),
    "Thales Luna": ("ChrystokiConfigurationPath",),
    "Thales ProtectServer": ("ET_PTKC_", "ET_HSM_"),
    "Entrust nShield": ("CKNFAST_", "NFAST_"),
    "Utimaco": ("CS_PKCS11_",),
    "AWS CloudHSM": ("CLOUDHSM_",),
    "Azure Cloud HSM": ("AZCLOUDHSM_",),
    "Fortanix DSM": ("FORTANIX_",),
    "Google Cloud KMS": ("KMS_", "GOOGLE_APPLICATION_CREDENTIALS"),
    "IBM EP11 and CCA, openCryptoki": ("EP11", "OPENCRYPTOKI_", "OCK_"),
    "YubiHSM 2": ("YUBIHSM_PKCS11_",),
    "Nitrokey NetHSM": ("P11NETHSM_",),
    "TPM 2.0": ("TPM2_PKCS11_",),
    "p11-kit": ("P11_KIT_",),
}
PREFIXES = tuple(prefix for prefixes in FAMILIES.values() for prefix in prefixes)


def named(text: str) -> tuple[str, ...]:
    """Return the beginnings that an operator adds. text: separated by commas or blanks."""
    return tuple(text.replace(",", " ").split())
