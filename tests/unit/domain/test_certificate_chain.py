# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains from whatever lies beside a certificate; and certificates from whatever form they were kept in."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_chain import (
    certificates_in,
    chain_of,
    leaf_first,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support import pki
from tests.support.pki import NOW


@pytest.fixture(scope="module")
def authority():
    return pki.Authority()


@pytest.fixture(scope="module")
def leaf(authority):
    return authority.leaf("leaf").certificate


def cross_signed(authority, other, **life):
    """Return the authority's root, signed by another root instead of by itself."""
    return pki.signed(
        authority.root_name, authority.root_key.public_key(), other.root_name, other.root_key, ca=True, **life
    )


def test_a_chain_is_put_in_order_and_keeps_the_root_that_it_had(authority, leaf):
    for around in ([authority.intermediate, authority.root], [authority.root, authority.intermediate]):
        chain = chain_of(leaf, around, NOW)

        assert (chain.state, chain.others) == ("complete", (authority.intermediate, authority.root))


def test_a_chain_without_its_root_is_open(authority, leaf):
    assert chain_of(leaf, [authority.intermediate], NOW).state == "open"


def test_the_certificate_itself_doubles_and_strangers_are_left_out(authority, leaf):
    other = pki.Authority("Other")
    around = [leaf, other.intermediate, authority.intermediate, authority.intermediate, other.root, leaf]

    chain = chain_of(leaf, around, NOW)

    assert (chain.state, chain.others, chain.foreign) == ("open", (authority.intermediate,), 2)


def test_of_two_issuers_with_one_name_the_one_that_signed_is_taken(authority, leaf):
    twin = pki.Authority()

    assert chain_of(leaf, [twin.intermediate, authority.intermediate], NOW).others == (authority.intermediate,)
    assert chain_of(leaf, [twin.intermediate, twin.root], NOW).state == "broken"


def test_of_two_ways_up_the_one_that_is_valid_is_taken_and_then_the_one_with_a_root(authority, leaf):
    other = pki.Authority("Other")
    cross, ended = cross_signed(authority, other), cross_signed(authority, other, days=10)

    to_its_root = chain_of(leaf, [cross, authority.root, authority.intermediate], NOW)
    around_the_ended = chain_of(leaf, [ended, authority.intermediate, cross], NOW)

    assert to_its_root.others == (authority.intermediate, authority.root)
    assert around_the_ended.others == (authority.intermediate, cross)
    assert around_the_ended.expired == ()


def test_an_issuer_that_is_not_valid_any_more_is_told_and_stays(authority, leaf):
    ended = pki.signed(
        authority.name, authority.key.public_key(), authority.root_name, authority.root_key, ca=True, days=1
    )

    chain = chain_of(leaf, [ended, authority.root], NOW)

    assert (chain.state, chain.expired) == ("complete", ("CN=Test Issuing CA",))
    assert chain_of(leaf, [ended, authority.intermediate], NOW).others == (authority.intermediate,)
    assert chain_of(leaf, [ended], NOW - datetime.timedelta(days=29, hours=12)).expired == ()


def test_what_is_no_ca_is_no_issuer(authority):
    middle = authority.leaf("middle", number=1)
    below = pki.signed("below", pki.key_of("ec").public_key(), "middle", pki.key_of("ec", 1))

    assert chain_of(below, [middle.certificate, authority.intermediate], NOW).state == "broken"


def test_certificates_that_sign_each_other_in_circles_come_to_an_end():
    keys = [pki.key_of("ec", number) for number in range(12)]
    around = [
        pki.signed(f"CA {i}", keys[i].public_key(), f"CA {j}", keys[j], ca=True)
        for i in range(12) for j in range(12) if i != j
    ]  # fmt: skip
    leaf = pki.signed("leaf", keys[0].public_key(), "CA 0", keys[0])

    assert chain_of(leaf, around, NOW).others


def test_a_certificate_that_signed_itself_needs_no_chain(authority):
    assert chain_of(authority.root, [authority.root, authority.intermediate], NOW).state == "self-signed"
    assert chain_of(authority.intermediate, [], NOW).state == "none"


@pytest.mark.parametrize("form", ["words before", "crlf", "der", "three", "another label", "blanks"])
def test_certificates_are_read_in_whatever_form_they_were_kept(authority, leaf, form):
    pem = pki.pem(leaf)
    content = {
        "words before": f"subject=CN=leaf\nissuer=CN=x\n{pem}".encode(),
        "crlf": pem.replace("\n", "\r\n").encode(),
        "der": leaf.public_bytes(pki.DER),
        "three": pki.pem(authority.root, leaf, authority.intermediate).encode(),
        "another label": pem.replace("CERTIFICATE", "X509 CERTIFICATE").encode(),
        "blanks": b"\xef\xbb\xbf  \n" + pem.encode() + b"\0\n",
    }[form]

    found, others = leaf_first(certificates_in(content))

    assert (found, len(others)) == (leaf, 2 if form == "three" else 0)


@pytest.mark.parametrize("inside", ["AAAA", "%"])
def test_a_block_that_is_no_certificate_cannot_be_read(inside):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the library says
        certificates_in(f"-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----".encode())


def test_where_there_is_no_block_there_is_no_certificate():
    assert certificates_in(b"") == certificates_in(b"see the ticket") == []


def test_x91_a_certificate_of_a_version_that_nobody_knows_cannot_be_parsed(leaf):
    """Its version is another byte: the library raises an error of its own for it, which is no ValueError."""
    der = leaf.public_bytes(pki.DER)
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1

    with pytest.raises(ValueError, match="InvalidVersion"):
        certificates_in(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09"))


def test_x91_an_issuer_with_an_extension_twice_signs_nothing_and_stops_nothing(authority, leaf):
    """The name of its key identifier is overwritten with that of basicConstraints: what reads extensions refuses it."""
    identified = (
        x509.CertificateBuilder(
            authority.intermediate.issuer, authority.intermediate.subject, authority.key.public_key(), 7,
            NOW, NOW + datetime.timedelta(days=1),
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(b"identifier"), critical=False)
        .sign(authority.root_key, hashes.SHA256())
    )  # fmt: skip
    der = identified.public_bytes(pki.DER)
    assert der.count(b"\x06\x03\x55\x1d\x0e") == 1
    (odd,) = certificates_in(der.replace(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x13"))

    assert chain_of(leaf, [odd], NOW).state == "broken"
    assert chain_of(leaf, [odd, authority.intermediate, authority.root], NOW).state == "complete"
    assert leaf_first([leaf, odd])[0] == leaf
