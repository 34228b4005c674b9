# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as files; openssl is the oracle for what they hold."""

from __future__ import annotations

import datetime
import io
import subprocess
import zipfile

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_files import (
    FORMATS,
    Material,
    build,
    fingerprint,
    safe_name,
    same,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSPHRASE = Secret(b"correct horse")


@pytest.fixture(scope="module")
def material():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf.example")])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = builder.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=90))
    pem = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    sec1 = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return Material("leaf", pem, pem, sec1)


def openssl(*arguments, content):
    return subprocess.run(["openssl", *arguments], input=content, capture_output=True, check=True).stdout


def test_all_formats_are_built_and_openssl_reads_them(material, tmp_path):
    files = build(material, FORMATS, PASSPHRASE)
    p12, secret = tmp_path / "b.p12", tmp_path / "pass"
    p12.write_bytes(files["bundle.p12"])
    secret.write_bytes(PASSPHRASE.reveal())

    assert sorted(files) == sorted(FORMATS)
    assert b"leaf.example" in openssl("x509", "-noout", "-subject", content=files["cert.pem"])
    assert files["key.pem"].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert openssl("pkey", "-noout", "-check", content=files["key.pem"]) == b"Key is valid\n"
    listed = openssl("pkcs12", "-in", str(p12), "-passin", f"file:{secret}", "-nodes", content=b"")
    assert listed.count(b"BEGIN CERTIFICATE") == 2


def test_the_zip_holds_all_the_other_files(material):
    files = build(material, FORMATS, PASSPHRASE)

    with zipfile.ZipFile(io.BytesIO(files["bundle.zip"])) as archive:
        assert sorted(archive.namelist()) == sorted(set(FORMATS) - {"bundle.zip"})
        assert archive.read("key.pem") == files["key.pem"]


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_certificate_built_twice_is_the_same_file(material, name):
    old, new = (build(material, FORMATS, PASSPHRASE)[name] for _number in range(2))

    assert same(name, old, new, PASSPHRASE)


@pytest.mark.parametrize("name", ["bundle.p12", "bundle.zip"])
def test_another_passphrase_or_garbage_is_another_file(material, name):
    new = build(material, FORMATS, PASSPHRASE)[name]

    assert not same(name, build(material, FORMATS, Secret(b"other"))[name], new, PASSPHRASE)
    assert not same(name, b"garbage", new, PASSPHRASE)


def test_a_certificate_without_key_has_no_key_bearing_file(material):
    files = build(Material("own-csr", material.certificate_pem, "", None), FORMATS, PASSPHRASE)

    assert sorted(files) == ["cert.pem", "fullchain.pem"]


@pytest.mark.parametrize("pem", ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_a_certificate_that_cannot_be_parsed_is_malformed(pem):
    with pytest.raises(OpsError) as refusal:
        build(Material("broken", pem, "", None), FORMATS, None)

    assert refusal.value.code == "certificate.malformed"
    assert fingerprint(pem) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("*.example.com", "wildcard.example.com"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("grün & blau", "gr_n_blau"),
    ],
)
def test_names_become_one_harmless_path_component(text, name):
    assert safe_name(text) == name
    assert "/" not in safe_name(text)
