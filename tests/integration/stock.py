# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects, certificates and keys put into a site's database as the product keeps them, or as it should not."""

from __future__ import annotations

from functools import cache
from typing import Any

from bson import ObjectId

from tests.support.pki import Authority, Leaf, pem
from tests.support.sealed import envelope


@cache
def authority() -> Authority:
    return Authority()


def allow_key_export(site: Any, **policy: Any) -> None:
    """Say that keys may leave, as the certificate policy of the whole installation."""
    site.db.settings.insert_one({"_id": "certificate_policy", "allow_key_export": True, "approval": None, **policy})


def project(site: Any, name: str, **fields: Any) -> Any:
    """Insert a project; return its id."""
    document = {"_id": ObjectId(), "name": name, "slug": name.lower(), **fields}
    site.db.projects.insert_one(document)
    return document["_id"]


def certificate(site: Any, project_id: Any, name: str, *, leaf: Leaf | None = None, with_key: bool = True,
                **fields: Any) -> Any:  # fmt: skip
    """Insert a certificate and its key; return its id. fields: of the certificate, in place of what they would be."""
    leaf = leaf or authority().leaf(
        name.replace("\0", "")[:60] or "unnamed", number=site.db.certificates.count_documents({})
    )
    document = {
        "_id": ObjectId(), "project_id": project_id, "name": name, "common_name": name, "status": "active",
        "issuer_type": "acme", "certificate_pem": leaf.pem,
        "chain_pem": pem(authority().intermediate, authority().root),
        "serial_number": format(leaf.certificate.serial_number, "x"),
        "not_after": leaf.certificate.not_valid_after_utc.replace(tzinfo=None), **fields,
    }  # fmt: skip
    site.db.certificates.insert_one(document)
    if with_key:
        key(site, document["_id"], leaf.key)
    return document["_id"]


def key(site: Any, certificate_id: Any, content: bytes) -> Any:
    """Insert a sealed key; return its id."""
    key_id = ObjectId()
    site.db.certificate_private_keys.insert_one({
        "_id": key_id, "certificate_id": certificate_id, "kek_version": 1,
        "encrypted_key": envelope(site.keks[1], key_id, "encrypted_key", content),
    })  # fmt: skip
    return key_id
