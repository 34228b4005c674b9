# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a bundle is believed: its manifest's digest came by another way than the bundle did (X20). Pure.

Whoever knows the public recipient can encrypt a bundle of his own, seal included. So the importer is told what the
exporter made, by whoever ran the export; without that it has to be said that the bundle is trusted as it lies there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .envelope_layout import DEFAULT, Layout
from .errors import OpsError
from .sender_signature import require_signed

BY_DIGEST, AS_IT_IS = "digest", "bundle"
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_AAD = ("none", "payload-only", "record-field")  # from the weakest binding to the strongest


def manifest_sha256(content: bytes) -> str:
    """Return the digest of a manifest file, hex: it names the records file by its own digest, so it stands for both."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Trust:
    """by: BY_DIGEST or AS_IT_IS. sha256: of the manifest, as data_export returned it. sender: public key in PEM.

    Of digest and key each that is given must hold.
    """

    by: str = BY_DIGEST
    sha256: str = ""
    sender: str = ""

    def judge(self, content: bytes, signature: bytes, *, origin: str) -> None:
        """Raises OpsError bundle.untrusted, .not_from_sender, .sender_key_invalid, manifest.mismatch.

        content: of the manifest file. signature: that lies beside it, b"" for none.
        """
        if self.sender:
            require_signed(self.sender, signature, content, origin=origin)
        found = manifest_sha256(content)
        if self.sha256:
            if not hmac.compare_digest(found, self.sha256.lower()):
                raise OpsError(
                    f"{origin} has SHA-256 {found}, expected {self.sha256}: it is not the manifest that was exported",
                    code="manifest.mismatch",
                    hint="copy the bundle again, or export again and give the new digest; nothing was written",
                )
        elif not self.sender and self.by != AS_IT_IS:
            raise OpsError(
                f"nothing says that {origin} is what the source exported: anybody who knows the recipient can make one",
                code="bundle.untrusted",
                hint="give `manifest_sha256` as data_export returned it, or `sender_public_key`; or say "
                "`trust: bundle`, if nobody else could have put it there",
            )

    def require_layout(self, layout: Layout) -> None:
        """Raises OpsError bundle.layout_weaker: nobody may choose a weaker form for all records unless he is known."""
        if not self.sha256 and not self.sender and _AAD.index(layout.aad) < _AAD.index(DEFAULT.aad):
            raise OpsError(
                f"the bundle asks for layout {layout.name}, in which an envelope is bound to its record less than in "
                f"{DEFAULT.name}",
                code="bundle.layout_weaker",
                hint="give `manifest_sha256` or `sender_public_key`: only a source that is known may have its records "
                "sealed like that",
            )


def require_listed(carried: Mapping[str, str], listed: Collection[str]) -> None:
    """Raises OpsError carry.not_listed for a value that travelled in a bundle under a name that nobody listed (X21)."""
    foreign = sorted(name for name in carried if name not in listed or not _NAME.fullmatch(name))
    if foreign:
        raise OpsError(
            f"the bundle carries {len(foreign)} value(s) that are not in `carry` here, the first: {foreign[0]!r}",
            code="carry.not_listed",
            hint="list the names in `carry` if the destination is to have them; nothing was written",
        )
