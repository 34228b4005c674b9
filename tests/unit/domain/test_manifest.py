# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest's seal and its parsing."""

from __future__ import annotations

import json

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import manifest as manifests
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

KEY = b"k" * 32
BODY = {
    "format": manifests.FORMAT,
    "bundle_id": "b",
    "created_at": "2026-11-24T09:00:00Z",
    "base": "",
    "found_by": "everything",
    "source": {"install_id": "i", "provider": "env", "installed_at": "2026-11-24T09:00:00Z", "database": "d"},
    "layout": "binary/iv-first/aad-record-field",
    "catalogue": {},
    "collections": {"zones": 1},
    "removed": {},
    "sealed": {},
    "by_project": {"": 1},
    "expiring": {"within_days": 30, "count": 0, "certificates": []},
    "projects": [],
    "records": 1,
    "records_sha256": "00",
    "source_digest": "11",
    "records_digest": "22",
    "recipients": [],
    "carried": [],
    "metadata": {"zones": {"options": [], "indexes": ["by_name"], "left": []}},
    "metadata_sha256": "44",
    "carried_digest": "33",
}


def sealed():
    return manifests.sealed_manifest(BODY, KEY)


def test_a_manifest_survives_its_own_text():
    parsed = manifests.parse(manifests.text(sealed()), origin="m")

    manifests.check_seal(parsed, KEY, origin="m")
    assert parsed["records"] == 1


@pytest.mark.parametrize("name", sorted(BODY))
def test_an_altered_manifest_does_not_fit_its_seal(name):
    altered = {**sealed(), name: {"other": 1}}

    with pytest.raises(OpsError) as refusal:
        manifests.check_seal(altered, KEY, origin="m")

    assert refusal.value.code == "manifest.mismatch"


def test_the_seal_needs_the_digest_key():
    with pytest.raises(OpsError):
        manifests.check_seal(sealed(), b"x" * 32, origin="m")


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", json.dumps({**BODY, "seal": 5})])
def test_what_is_no_manifest_is_malformed(text):
    with pytest.raises(OpsError) as refusal:
        manifests.parse(text, origin="m")

    assert refusal.value.code == "manifest.malformed"


def test_another_format_is_refused_by_name():
    with pytest.raises(OpsError) as refusal:
        manifests.parse(json.dumps({**sealed(), "format": "certautopilot.ops/bundle/9"}), origin="m")

    assert refusal.value.code == "manifest.format"


def test_the_chain_depends_on_order():
    one, other = manifests.Chain(KEY), manifests.Chain(KEY)
    for digest in (b"a", b"b"):
        one.add(digest)
    for digest in (b"b", b"a"):
        other.add(digest)

    assert one.hex() != other.hex()
