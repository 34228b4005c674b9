# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as files; openssl is the oracle for what they hold."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_chain import chain_of
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_files import (
    FORMATS,
    KEY_BEARING,
    build,
    label,
    possible,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_material import Material
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.private_keys import fitting
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret

from tests.support import pki

PASSPHRASE = Secret(b"correct horse")


@pytest.fixture(scope="module")
def authority():
    return pki.Authority()


def material_of(authority, leaf, name="leaf", key=None):
    chain = chain_of(leaf.certificate, [authority.root, authority.intermediate], pki.NOW)
    return Material(name, leaf.certificate, chain, fitting(leaf.certificate, [key or leaf.key]))


@pytest.fixture(params=["ec", "ec384", "rsa", "dsa", "ed25519", "ed448", "rsa-pss"])
def leaf(request, authority, tmp_path):
    if request.param == "rsa-pss":
        return authority.rsa_pss_leaf("leaf.example", tmp_path)
    return authority.leaf("leaf.example", request.param)


@pytest.fixture
def material(authority):
    return material_of(authority, authority.leaf("leaf.example"))


def test_all_formats_of_every_type_of_key_are_read_by_openssl(authority, leaf, tmp_path):
    material = material_of(authority, leaf)
    files = {name: build(material, name, PASSPHRASE) for name in FORMATS}
    for name, content in {**files, "root.pem": pki.pem(authority.root).encode()}.items():
        (tmp_path / name).write_bytes(content)

    key, certificates = pki.opened_pkcs12(tmp_path / "bundle.pkcs12", "correct horse")

    wanted = pki.public_of(files["cert.pem"])
    assert pki.public_key(files["key.pem"]) == pki.public_key(key) == wanted
    assert files["key.pem"].startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert certificates.count(b"BEGIN CERTIFICATE") == 3
    assert b"leaf.example" in pki.openssl("x509", "-noout", "-subject", content=files["fullchain.pem"])
    assert pki.verifies(tmp_path / "cert.pem", tmp_path / "chain.pem", tmp_path / "root.pem")


def test_x92_a_key_of_rsa_pss_is_opened_by_openssl_with_any_passphrase_and_name_and_with_no_other(authority, tmp_path):
    leaf = authority.rsa_pss_leaf("leaf.example", tmp_path)
    for number, phrase in enumerate(["x", "pässwörd", "ключ \N{KEY}", "long " * 40]):
        path = tmp_path / f"{number}.p12"
        material = material_of(authority, leaf, name="n\N{KEY}me " * number or "x")
        path.write_bytes(build(material, "bundle.pkcs12", Secret(phrase.encode())))

        key, _certificates = pki.opened_pkcs12(path, phrase)

        assert b"PSS parameter" in pki.openssl("pkey", "-noout", "-text", content=key)
        with pytest.raises(Exception, match="non-zero exit"):
            pki.opened_pkcs12(path, phrase + "!")


def test_the_zip_holds_all_the_other_files(material):
    with zipfile.ZipFile(io.BytesIO(build(material, "bundle.zip", PASSPHRASE))) as archive:
        assert sorted(archive.namelist()) == sorted(set(FORMATS) - {"bundle.zip"})
        assert archive.read("key.pem") == build(material, "key.pem", PASSPHRASE)


@pytest.mark.parametrize("name", FORMATS)
def test_what_can_be_made_again_byte_by_byte_has_no_label_and_the_rest_has_one(material, name):
    old, new = (build(material, name, PASSPHRASE) for _number in range(2))

    assert (label(material, name, PASSPHRASE) == "") == (old == new)


@pytest.mark.parametrize("name", sorted(KEY_BEARING))
def test_a_label_changes_with_all_that_a_file_is_made_of_and_with_nothing_else(authority, material, name):
    recipients = ("age1a", "age1b")
    labels = [
        label(material, name, PASSPHRASE, recipients),
        label(material, name, PASSPHRASE, recipients[:1]),
        label(replace(material, name="other"), name, PASSPHRASE, recipients),
        label(material_of(authority, authority.leaf("leaf.example")), name, PASSPHRASE, recipients),
        label(replace(material, chain=replace(material.chain, others=())), name, PASSPHRASE, recipients),
    ]

    assert len(set(labels)) == len(labels)
    assert label(material, name, PASSPHRASE, recipients) == labels[0]
    assert (label(material, name, Secret(b"other"), recipients) == labels[0]) == (name == "key.pem")


def test_formats_that_there_is_no_material_for_are_not_possible(material):
    without_key = replace(material, key=None)
    alone = replace(without_key, chain=replace(material.chain, others=(), state="none"))
    broken = replace(alone, chain=replace(alone.chain, state="broken"))

    assert possible(material, ("bundle.p12", "cert.pem"), PASSPHRASE) == ("cert.pem", "bundle.pkcs12")
    assert possible(material, FORMATS, None) == tuple(name for name in FORMATS if name != "bundle.pkcs12")
    assert possible(without_key, FORMATS, PASSPHRASE) == ("cert.pem", "chain.pem", "fullchain.pem")
    assert possible(alone, FORMATS, PASSPHRASE) == ("cert.pem", "fullchain.pem")
    assert possible(broken, FORMATS, PASSPHRASE) == ("cert.pem",)


def test_a_key_is_not_shown_by_its_material(material):
    assert "PRIVATE" not in repr(material)
    assert material.key.pkcs8.hex()[:20] not in repr(material)
