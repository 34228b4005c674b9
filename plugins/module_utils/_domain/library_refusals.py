# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `cryptography` raises for a certificate or key that it does not take (X91).

Some of it is no ValueError: an unknown version, an extension that is there twice, a name of an unknown form, an
algorithm that this build does not have. One certificate of that kind must not stop those behind it.
"""

from __future__ import annotations

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    REFUSED: tuple[type[Exception], ...] = (ValueError, TypeError, OverflowError)
else:
    REFUSED = (
        ValueError,
        TypeError,
        OverflowError,
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )
