# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cert_export is asked for: filters, who may read, encryption, the index; and 200 certificates of all kinds."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc

import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson import ObjectId

from tests.integration import stock
from tests.support import pki

KEYED = {"formats": ("cert.pem", "key.pem"), "include_keys": True}
KINDS = ("ec", "rsa", "ed25519", "ec384", "ed448")
NAMES = ("web", "WEB", "../../up", "=cmd()", "a\0b", "", "*.example", "we\u0301b", "x" * 280, "index.json")


@pytest.fixture
def site(env_site):
    stock.allow_key_export(env_site)
    return env_site


@pytest.fixture
def web(site):
    return stock.project(site, "Web")


EVERY = ["late", "other", "revoked", "soon"]


def names(result):
    return sorted(entry["name"] for entry in result.values["certificates"])


def modes(folder):
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"statuses": ("REVOKED",)}, ["revoked"]),
        ({"statuses": ("active", "revoked"), "names": ("soon", "revoked")}, ["revoked", "soon"]),
        ({"issuers": ("other issuing ca",)}, ["other"]),
        ({"issuers": ("CN=Other Issuing CA",)}, ["other"]),
        ({"issuers": ("acme",), "statuses": ("active",)}, ["late", "soon"]),
        ({"expires_before": "400d"}, ["soon"]),
        ({"expires_after": "400d", "statuses": ("active",), "issuers": ("ACME",)}, ["late"]),
        ({"expires_after": "2000-01-01", "expires_before": "2100-01-01T00:00:00+02:00"}, EVERY),
        ({"expires_before": "2000-01-01T00:00:00Z"}, []),
    ],
)  # fmt: skip
def test_filters_choose_by_what_the_certificate_itself_says(site, web, tmp_path, options, chosen):
    soon = stock.authority().leaf("soon", days=120)
    stock.certificate(
        site, web, "soon", leaf=soon, not_after="2099-01-01T00:00:00Z"
    )  # the record lies, as after a crash
    stock.certificate(site, web, "late")
    stock.certificate(site, web, "revoked", status="revoked")
    other = pki.Authority("Other")
    stock.certificate(site, web, "other", leaf=other.leaf("other"), issuer_type="msca",
                      chain_pem=pki.pem(other.intermediate))  # fmt: skip

    assert names(site.call("cert_export", dest=str(tmp_path / "out"), **options)) == chosen


def test_a_serial_number_is_found_however_it_is_written(site, web, tmp_path):
    leaf = stock.authority().leaf("leaf", number=70)
    stock.certificate(site, web, "one", leaf=leaf, serial_number="not the one")
    stock.certificate(site, web, "two")
    digits = format(leaf.certificate.serial_number, "X").rjust(40, "0")
    colons = ":".join(digits[at : at + 2] for at in range(0, 40, 2))

    for number, text in enumerate((digits, colons, digits.lower().lstrip("0"), f"0x{digits}")):
        assert names(site.call("cert_export", dest=str(tmp_path / f"out{number}"), serials=(text,))) == ["one"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"serials": ("xyz",)}, "export.filter"),
        ({"expires_after": "soon"}, "export.filter"),
        ({"expires_before": "31.12.2026"}, "export.filter"),
        ({"ids": ("nobody",)}, "export.not_found"),
        ({"mode": "0666"}, "export.access"),
        ({"mode": "0755"}, "export.access"),
        ({"mode": "u=rw"}, "export.access"),
        ({"mode": 0o4600}, "export.access"),
        ({"mode": "0644", "include_keys": True}, "export.access"),
        ({"owner": "nobody-of-this-name"}, "export.access"),
        ({"group": "nobody-of-this-name"}, "export.access"),
        ({"recipients": ("age1nobody",)}, "bundle.recipient_invalid"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_written(site, web, tmp_path, options, code):
    stock.certificate(site, web, "web")

    with pytest.raises(OpsError) as refused:
        site.call("cert_export", dest=str(tmp_path / "out"), **options)

    assert (refused.value.code, (tmp_path / "out").exists()) == (code, False)


@pytest.mark.parametrize("mode", ["0640", 0o640])
def test_files_get_owner_group_and_mode_and_their_readers_get_to_them(site, web, tmp_path, mode):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    stock.certificate(site, web, "web")
    dest = tmp_path / "out"
    options = {"dest": str(dest), "owner": "nobody", "group": "12345", "mode": mode, **KEYED}
    site.call("cert_export", dest=str(dest), **KEYED)

    predicted, done = site.call("cert_export", check=True, **options), site.call("cert_export", **options)
    again = site.call("cert_export", **options)

    assert (predicted.changed, done.changed, again.changed) == (True, True, False)
    files = [path.stat() for path in dest.rglob("*") if path.is_file()]
    assert {(one.st_uid == 0, one.st_gid, oct(one.st_mode & 0o777)) for one in files} == {(False, 12345, "0o640")}
    folders = [path.stat() for path in dest.rglob("*") if path.is_dir()]
    assert {(one.st_uid, one.st_gid, oct(one.st_mode & 0o777)) for one in folders} == {(0, 12345, "0o751")}


def test_a_file_that_others_may_read_now_or_that_has_a_second_name_is_written_anew(site, web, tmp_path):
    stock.certificate(site, web, "web")
    dest = tmp_path / "out"
    site.call("cert_export", dest=str(dest), **KEYED)
    key = dest / "web" / "web" / "key.pem"
    key.chmod(0o644)
    opened = site.call("cert_export", dest=str(dest), **KEYED)
    os.link(key, tmp_path / "second")
    linked = site.call("cert_export", dest=str(dest), **KEYED)

    assert (opened.changed, linked.changed, modes(dest)["key.pem"]) == (True, True, "0o600")
    assert not key.samefile(tmp_path / "second")


def test_files_with_a_key_are_encrypted_and_no_plaintext_of_it_is_anywhere(site, web, tmp_path):
    stock.certificate(site, web, "web")
    officer, second = (pyrage.x25519.Identity.generate() for _number in range(2))
    dest = tmp_path / "out"
    options = {"dest": str(dest), "formats": ("cert.pem", "key.pem", "bundle.zip"), "include_keys": True}
    to = {"recipients": (str(officer.to_public()),)}

    done, again = site.call("cert_export", **options, **to), site.call("cert_export", **options, **to)
    other = site.call("cert_export", **options, recipients=(*to["recipients"], str(second.to_public())))

    folder = dest / "web" / "web"
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.zip.age", "cert.pem", "key.pem.age"]
    key = pyrage.decrypt((folder / "key.pem.age").read_bytes(), [second])
    assert pki.public_key(key) == pki.public_of((folder / "cert.pem").read_bytes())
    assert (done.changed, again.changed, other.changed) == (True, False, True)
    line = key.splitlines()[1]
    assert not [path for path in dest.rglob("*") if path.is_file() and line in path.read_bytes()]


def test_an_encrypted_file_that_was_changed_is_written_anew(site, web, tmp_path):
    stock.certificate(site, web, "web")
    dest = tmp_path / "out"
    to = {"recipients": (str(pyrage.x25519.Identity.generate().to_public()),)}
    site.call("cert_export", dest=str(dest), **KEYED, **to)
    (dest / "web" / "web" / "key.pem.age").write_bytes(b"flipped")

    assert site.call("cert_export", dest=str(dest), **KEYED, **to).changed
    assert not site.call("cert_export", dest=str(dest), **KEYED, **to).changed


def test_a_spreadsheet_runs_nothing_that_is_in_the_index(site, web, tmp_path):
    for name in ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "  =1", "a\r\n=1", 'a","=1', "\u202e=1"):
        stock.certificate(site, web, name, status="=1+1")
    site.call("cert_export", dest=str(tmp_path / "out"))

    text = (tmp_path / "out" / "index.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))

    assert len(rows) == 9
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "\t"))]
    assert not {"\u202e", "\0"} & set(text)


def test_a_chain_that_is_out_of_order_is_put_in_order_and_one_that_is_not_its_own_is_listed(site, web, tmp_path):
    ca, other = stock.authority(), pki.Authority("Other")
    mixed = pki.pem(other.root, ca.root, ca.intermediate, ca.intermediate).replace("\n", "\r\n")
    good = stock.certificate(site, web, "mixed", chain_pem=f"i: CN=x\r\n{mixed}")
    bad = stock.certificate(site, web, "foreign", chain_pem=pki.pem(other.intermediate, other.root))
    dest, root = tmp_path / "out", tmp_path / "root.pem"
    root.write_text(pki.pem(ca.root))

    with pytest.raises(OpsError) as failure:
        site.call("cert_export", dest=str(dest))

    assert [one["code"] for one in failure.value.facts["failures"]] == ["certificate.chain_broken"]
    assert pki.verifies(dest / "web" / "mixed" / "cert.pem", dest / "web" / "mixed" / "chain.pem", root)
    assert (dest / "web" / "mixed" / "fullchain.pem").read_text().count("BEGIN") == 3
    assert [path.name for path in (dest / "web" / "foreign").iterdir()] == ["cert.pem"]
    assert good != bad


def test_two_hundred_certificates_of_all_kinds(site, tmp_path):
    projects = [stock.project(site, name) for name in ("Web", "web ", "../x", "index.json")]
    pss = stock.authority().rsa_pss_leaf("pss", tmp_path)
    expected = {"written": 0, "incomplete": 0, "failed": 0}
    for number in range(200):
        leaf = pss if number % 8 == 5 else stock.authority().leaf("leaf", KINDS[number % 5], number % 3)
        fields = {"leaf": leaf, "with_key": False}
        if number % 20 == 7:
            stock.certificate(site, projects[number % 4], NAMES[number % 10], certificate_pem="", **fields)
            expected["failed"] += 1
            continue
        record = stock.certificate(site, projects[number % 4], NAMES[number % 10], **fields)
        if number % 20 == 3:
            stock.key(site, record, stock.authority().leaf("x", number=99).key)
            expected["incomplete"] += 1
            continue
        expected["written"] += 1
        if number % 20 != 11:  # those have none
            stock.key(site, record, leaf.key)
    (tmp_path / "phrase").touch(mode=0o600)
    (tmp_path / "phrase").write_text("correct horse")
    (tmp_path / "root.pem").write_text(pki.pem(stock.authority().root))
    before, dest = {path.name for path in tmp_path.iterdir()}, tmp_path / "out"
    options = {"formats": ("cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.pkcs12"), "include_keys": True}

    with pytest.raises(OpsError) as failure:
        site.call("cert_export", dest=str(dest), passphrase_file=str(tmp_path / "phrase"), **options)

    assert (failure.value.code, failure.value.facts["counts"]) == ("export.incomplete", expected)
    index = json.loads((dest / "index.json").read_text())["certificates"]
    assert len({entry["folder"].lower() for entry in index}) == len(index) == 200
    keys = list(dest.rglob("key.pem"))
    assert len(keys) == 170
    for path in keys:
        wanted = pki.public_of(path.with_name("cert.pem").read_bytes())
        key, certificates = pki.opened_pkcs12(path.with_name("bundle.pkcs12"), "correct horse")
        assert pki.public_key(path.read_bytes()) == pki.public_key(key) == wanted
        assert certificates.count(b"BEGIN CERTIFICATE") == 3
    for path in dest.rglob("cert.pem"):
        assert pki.verifies(path, path.with_name("chain.pem"), tmp_path / "root.pem")
    assert {path.name for path in tmp_path.iterdir()} == {*before, "out"}


def test_memory_does_not_grow_with_what_is_in_the_certificates(site, web, tmp_path):
    leaf, chain = stock.authority().leaf("leaf"), pki.pem(stock.authority().intermediate) + "x" * 6000
    fields = {"project_id": web, "certificate_pem": leaf.pem, "chain_pem": chain, "status": "active"}

    def peak():
        tracemalloc.start()
        try:
            site.call("cert_export", check=True, dest=str(tmp_path / "out"))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    site.db.certificates.insert_many({"_id": ObjectId(), "name": f"c{n}", **fields} for n in range(400))
    few = peak()
    site.db.certificates.insert_many({"_id": ObjectId(), "name": f"d{n}", **fields} for n in range(1600))

    assert peak() - few < 1600 * 5000  # bytes; each has 8,000 of PEM, and some 3,500 stay for the index
