# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys in the forms in which programs keep them, and the one that is a certificate's."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_source import Problem
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.private_keys import PrivateKey, fitting

from tests.support import pki


@pytest.fixture(scope="module")
def authority():
    return pki.Authority()


FORMS = {
    "pkcs8": pki.pkcs8,
    "pkcs8 der": lambda key: pki.pkcs8(key, pki.DER),
    "crlf": lambda key: pki.pkcs8(key).replace(b"\n", b"\r\n"),
    "words": lambda key: b"\xef\xbb\xbfBag Attributes\n" + pki.pkcs8(key) + b"\n\0",
    "one line": lambda key: (
        b"-----BEGIN PRIVATE KEY-----%s-----END PRIVATE KEY-----" % b"".join(pki.pkcs8(key).split(b"\n")[1:-2])
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519", "ed448", "dsa"])
def test_a_key_is_read_in_every_form_and_is_pkcs8_afterwards(authority, kind, form):
    leaf = authority.leaf("leaf", kind)

    found = fitting(leaf.certificate, [FORMS[form](pki.key_of(kind))])

    assert found.pem() == leaf.key
    assert not found.is_rsa_pss


@pytest.mark.parametrize("encoding", [pki.PEM, pki.DER])
@pytest.mark.parametrize("kind", ["ec", "rsa", "dsa"])
def test_a_key_in_its_own_old_form_becomes_pkcs8(authority, kind, encoding):
    leaf = authority.leaf("leaf", kind)

    assert fitting(leaf.certificate, [pki.traditional(pki.key_of(kind), encoding)]).pem() == leaf.key


def test_x92_a_key_of_rsa_pss_is_passed_on_byte_for_byte(authority, tmp_path):
    leaf = authority.rsa_pss_leaf("leaf", tmp_path)

    found = fitting(leaf.certificate, [leaf.key])

    assert (found.pem(), found.is_rsa_pss) == (leaf.key, True)


def test_x90_the_key_that_fits_is_found_among_others_even_in_one_text(authority):
    leaf = authority.leaf("leaf")
    others = [pki.pkcs8(pki.key_of("rsa")), pki.pkcs8(pki.key_of("ec", 1)), b"garbage", pki.encrypted(pki.key_of("ec"))]

    assert isinstance(fitting(leaf.certificate, [*others, leaf.key]), PrivateKey)
    assert isinstance(fitting(leaf.certificate, [others[0] + leaf.key]), PrivateKey)


HEADERS = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00"
LEGACY = b"-----BEGIN RSA PRIVATE KEY-----\n%s\n\nAAAA\n-----END RSA PRIVATE KEY-----" % HEADERS
CURVE = bytes.fromhex("302e020100300506032b656e04220420") + b"\1" * 32  # X25519: agrees, and signs nothing


@pytest.mark.parametrize(
    ("contents", "code"),
    [
        ([pki.pkcs8(pki.key_of("ec", 7))], "certificate.key_mismatch"),
        ([pki.pkcs8(pki.key_of("ec", 7)), pki.encrypted(pki.key_of("ec"))], "certificate.key_mismatch"),
        ([CURVE], "certificate.key_mismatch"),
        ([pki.encrypted(pki.key_of("ec"))], "certificate.key_encrypted"),
        ([LEGACY], "certificate.key_encrypted"),
        ([b""], "certificate.key_malformed"),
        ([b"\x30\x80"], "certificate.key_malformed"),
        ([b"see the ticket"], "certificate.key_malformed"),
        ([b"-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----"], "certificate.key_malformed"),
        ([pki.pem(pki.Authority().root).encode()], "certificate.key_malformed"),
    ],
)
def test_x91_a_key_that_is_of_no_use_is_told_by_a_code_and_never_shown(authority, contents, code):
    found = fitting(authority.leaf("leaf").certificate, contents)

    assert isinstance(found, Problem)
    assert found.code == code
    assert "BEGIN" not in found.reason
