# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that certificate exports had, each with siblings of its kind; the openssl program judges what was written."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson import Int64, ObjectId

from tests.integration import stock
from tests.support import pki

FORMATS = ("cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.pkcs12", "bundle.zip")
PHRASE = "correct horse battery"


@pytest.fixture
def site(env_site):
    stock.allow_key_export(env_site)
    return env_site


@pytest.fixture
def web(site):
    return stock.project(site, "Web")


@pytest.fixture
def export(site, tmp_path):
    """Export with keys into `out`; return (result or failure, the folder)."""
    phrase = tmp_path / "passphrase"
    phrase.touch(mode=0o600)
    phrase.write_text(PHRASE)

    def call(**options):
        options = {"formats": FORMATS, "include_keys": True, "passphrase_file": str(phrase), **options}
        try:
            return site.call("cert_export", dest=str(tmp_path / "out"), **options)
        except OpsError as failure:
            return failure

    call.folder = tmp_path / "out"
    return call


def codes(failure):
    return sorted(one["code"] for one in failure.facts["failures"])


def index(folder):
    return {entry["id"]: entry for entry in json.loads((folder / "index.json").read_text())["certificates"]}


def require_fitting_keys(folder):
    """Every key is that of the certificate beside it, says openssl, in each form in which it was written."""
    for path in folder.rglob("key.pem"):
        certificate = path.with_name("cert.pem").read_bytes()
        assert pki.public_key(path.read_bytes()) == pki.public_of(certificate)
        key, certificates = pki.opened_pkcs12(path.with_name("bundle.pkcs12"), PHRASE)
        assert pki.public_key(key) == pki.public_of(certificates) == pki.public_of(certificate)


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


HOSTILE = [
    "web", "WEB", "Web", "web ", "web\0", "we\u0301b", "w\u00e9b", "../../escaped", "/etc/x", "..", ".", "",
    "a/../../b", "C:\\windows", "CON", "nul.txt", "x" * 300, "\u202egnp.exe", "=HYPERLINK(1)", "web\r\nb: c",
    "*.example.com", "~", "-rf", "$(id)", "\ud7ff\uffff", "lost+found", ".certautopilot-unfinished.0123456789abcdef",
]  # fmt: skip


def test_x26_no_name_and_no_id_leads_out_of_the_folder_or_onto_another(site, web, export, tmp_path):
    stock.certificate(site, web, "web", _id="/../../../../escaped")
    stock.certificate(site, web, "web", _id="../" * 8 + "escaped")
    for name in HOSTILE:
        stock.certificate(site, web, name)
    (tmp_path / "beside").touch()

    done = export()

    assert done.changed
    assert [entry["outcome"] for entry in index(export.folder).values()] == ["written"] * (len(HOSTILE) + 2)
    folders = [entry["folder"].lower() for entry in index(export.folder).values()]
    assert len(set(folders)) == len(HOSTILE) + 2
    assert len(list(export.folder.rglob("key.pem"))) == len(HOSTILE) + 2
    require_fitting_keys(export.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "out", "passphrase", "site1"]
    assert not list(Path("/").glob("escaped*"))


@pytest.mark.parametrize("slug", ["../../up", "index.json", "INDEX.CSV", "..", "web", "WEB"])
def test_x26_projects_do_not_lead_out_either_nor_onto_the_index_or_each_other(site, web, export, slug):
    stock.certificate(site, web, "a")
    other = stock.project(site, "Other", slug=slug)
    stock.certificate(site, other, "a")

    export()

    entries = index(export.folder).values()
    assert len({entry["folder"].lower() for entry in entries}) == 2
    assert all((export.folder / entry["folder"] / "key.pem").is_file() for entry in entries)
    assert sorted(path.name for path in export.folder.iterdir() if path.is_file()) == ["index.csv", "index.json"]


def test_x26_a_name_that_looks_like_another_made_unlike_by_its_id_is_not_written_over_it(site, web, export):
    ids = [ObjectId(), ObjectId(), "text"]
    stock.certificate(site, web, "web", _id=ids[0])
    stock.certificate(site, web, "web", _id=ids[1])
    stock.certificate(site, web, f"web.{ids[0]}", _id=ids[2])
    stock.certificate(site, web, "web", _id=str(ids[1]))

    export()

    entries = [json.loads(line.rstrip(",")) for line in (export.folder / "index.json").read_text().splitlines()[1:-1]]
    assert len({entry["folder"] for entry in entries}) == 4
    require_fitting_keys(export.folder)


def test_x26_the_place_of_a_certificate_does_not_depend_on_what_else_was_chosen(site, web, export):
    first, second = stock.certificate(site, web, "web"), stock.certificate(site, web, "WEB")
    export(ids=(str(second),))
    alone = everything_below(export.folder)

    export()

    assert set(alone) <= set(everything_below(export.folder))
    assert index(export.folder).keys() == {str(first), str(second)}
    require_fitting_keys(export.folder)


def test_x90_of_two_keys_the_one_that_fits_is_written_whichever_comes_first(site, web, export):
    for number in range(4):
        leaf = stock.authority().leaf("leaf", number=number)
        record = stock.certificate(site, web, f"web {number}", leaf=leaf, with_key=False)
        keys = [leaf.key, stock.authority().leaf("x", number=number + 10).key]
        for content in keys if number % 2 else reversed(keys):
            stock.key(site, record, content)

    done = export()

    assert done.changed
    assert len(list(export.folder.rglob("key.pem"))) == 4
    require_fitting_keys(export.folder)


def test_x90_a_key_of_another_certificate_is_refused_by_name_and_the_certificate_is_written(site, web, export):
    good = stock.certificate(site, web, "good")
    record = stock.certificate(site, web, "foreign", with_key=False)
    stock.key(site, record, stock.authority().leaf("x", number=50).key)
    stock.key(site, record, stock.authority().leaf("x", "rsa").key)

    failure = export()

    assert (failure.code, codes(failure)) == ("export.incomplete", ["certificate.key_mismatch"])
    assert failure.facts["failures"][0]["id"] == str(record)
    assert sorted(path.name for path in (export.folder / "web" / "foreign").iterdir()) == [
        "cert.pem", "chain.pem", "fullchain.pem",
    ]  # fmt: skip
    assert (index(export.folder)[str(good)]["has_key"], index(export.folder)[str(record)]["has_key"]) == (True, False)


def test_x91_certificates_of_projects_that_are_gone_or_named_by_text_are_exported(site, web, export):
    by_text = stock.certificate(site, str(web), "by text")
    gone, none = stock.certificate(site, ObjectId(), "gone"), stock.certificate(site, None, "none")
    odd = stock.certificate(site, Int64(7), "odd")

    done = export()

    found = index(export.folder)
    assert done.changed
    assert found[str(by_text)]["folder"] == "web/by_text"
    assert {found[str(one)]["folder"].split("/")[0][:10] for one in (gone, none, odd)} == {"no-project"}
    assert any("project is gone" in warning for warning in site.warnings)
    require_fitting_keys(export.folder)


BAD_KEYS = {
    "certificate.key_encrypted": lambda leaf: pki.encrypted(pki.key_of("ec")),
    "certificate.key_malformed": lambda leaf: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "certificate.key_mismatch": lambda leaf: pki.pkcs8(pki.key_of("ed25519")),
}
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
GOOD_KEYS = {
    "der": lambda key: pki.pkcs8(key, pki.DER),
    "sec1": pki.traditional,
    "sec1 in der": lambda key: pki.traditional(key, pki.DER),
    "crlf and words": lambda key: b"Bag Attributes\r\n  x: y\r\n" + pki.pkcs8(key).replace(b"\n", b"\r\n"),
    "parameters before it": lambda key: PARAMETERS + pki.traditional(key),
}  # fmt: skip


def test_x91_what_cannot_be_written_stops_nothing_and_is_listed_by_name(site, web, export):
    pending = stock.certificate(
        site, web, "pending", certificate_pem="", chain_pem="", status="pending", with_key=False
    )
    no_text = stock.certificate(site, web, "no text", certificate_pem=None, with_key=False)
    broken = stock.certificate(
        site, web, "broken", certificate_pem="-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"
    )
    words = stock.certificate(site, web, "words", certificate_pem="see the ticket")
    bad = {}
    for code, content in BAD_KEYS.items():
        bad[code] = stock.certificate(site, web, code, with_key=False)
        stock.key(site, bad[code], content(None))
    sealed = stock.certificate(site, web, "sealed")
    site.db.certificate_private_keys.update_one(
        {"certificate_id": sealed}, {"$set": {"encrypted_key.ciphertext": b"\1" * 40}}
    )
    good = []
    for kind, form in GOOD_KEYS.items():
        leaf = stock.authority().leaf("leaf", number=len(good) + 30)
        good.append(stock.certificate(site, web, kind, leaf=leaf, with_key=False))
        stock.key(site, good[-1], form(pki.key_of("ec", len(good) + 29)))

    failure = export()

    assert failure.code == "export.incomplete"
    assert codes(failure) == sorted([
        "certificate.pending", "certificate.pending", "certificate.malformed", "certificate.malformed",
        "record.unreadable", *BAD_KEYS,
    ])  # fmt: skip
    found = index(export.folder)
    assert {found[str(one)]["outcome"] for one in (pending, no_text, broken, words)} == {"failed"}
    assert {found[str(one)]["outcome"] for one in (*bad.values(), sealed)} == {"incomplete"}
    assert {found[str(one)]["outcome"] for one in good} == {"written"}
    assert len(list(export.folder.rglob("cert.pem"))) == len(good) + len(bad) + 1
    require_fitting_keys(export.folder)
    assert export().facts["changed"] is False


def test_x91_in_check_mode_the_same_is_listed_and_nothing_written(site, web, export):
    stock.certificate(site, web, "good")
    stock.certificate(site, web, "pending", certificate_pem="", with_key=False)
    dest = str(export.folder)
    with pytest.raises(OpsError) as predicted:
        site.call("cert_export", check=True, dest=dest)
    nothing = not export.folder.exists()
    with pytest.raises(OpsError) as real:
        site.call("cert_export", dest=dest)

    assert nothing
    assert (predicted.value.code, dict(predicted.value.facts)) == (real.value.code, dict(real.value.facts))


def test_x92_a_key_of_rsa_pss_stays_one_in_every_form(site, web, export, tmp_path):
    leaf = stock.authority().rsa_pss_leaf("pss.example", tmp_path)
    stock.certificate(site, web, "pss", leaf=leaf)

    export()

    folder = export.folder / "web" / "pss"
    assert (folder / "key.pem").read_bytes().split() == leaf.key.split()
    key, _certificates = pki.opened_pkcs12(folder / "bundle.pkcs12", PHRASE)
    assert b"PSS parameter restrictions" in pki.openssl("pkey", "-noout", "-text", content=key)
    require_fitting_keys(export.folder)
    assert not export().changed


def test_x92_the_bundle_has_the_vendors_name_and_the_old_one_is_an_alias(site, web, export):
    stock.certificate(site, web, "web")

    export(formats=("bundle.p12",))
    again = export(formats=("bundle.pkcs12",))

    assert everything_below(export.folder) == ["index.csv", "index.json", "web/web/bundle.pkcs12"]
    assert not again.changed


def test_x92_a_certificate_renewed_by_its_owners_csr_loses_the_old_key_and_only_files_of_ours_go(site, web, export):
    record = stock.certificate(site, web, "web")
    export()
    notes = export.folder / "web" / "web" / "notes.txt"
    notes.write_text("ours")
    renewed = stock.authority().leaf("web", number=60)
    site.db.certificates.update_one({"_id": record}, {"$set": {"certificate_pem": renewed.pem, "issuer_type": "csr"}})
    site.db.certificate_private_keys.delete_one({"certificate_id": record})

    done = export()

    assert done.changed
    assert everything_below(export.folder / "web") == [
        "web/cert.pem", "web/chain.pem", "web/fullchain.pem", "web/notes.txt",
    ]  # fmt: skip
    assert not export().changed


def test_x92_a_second_certificate_of_the_name_moves_the_first_and_leaves_no_old_folder(site, web, export):
    first = stock.certificate(site, web, "web")
    export()
    second = stock.certificate(site, web, "web")

    done = export()

    assert (done.values["removed"], export().changed) == (6, False)
    assert sorted(path.name for path in (export.folder / "web").iterdir()) == sorted([f"web.{first}", f"web.{second}"])


def test_x92_a_deleted_certificate_goes_with_the_same_choice_and_stays_with_another(site, web, export):
    gone, stays = stock.certificate(site, web, "gone"), stock.certificate(site, web, "stays")
    export()
    site.db.certificates.delete_one({"_id": gone})

    export(names=("stays",))
    with_another = everything_below(export.folder / "web")
    again = export(names=("stays",))
    twice = everything_below(export.folder / "web")
    done = export()

    assert ("gone/key.pem" in with_another, again.changed, twice) == (True, False, with_another)
    assert done.values["removed"] == 6
    assert [path.name for path in (export.folder / "web").iterdir()] == ["stays"]
    assert index(export.folder).keys() == {str(stays)}


def test_x92_a_file_of_ours_that_somebody_changed_is_theirs_and_stays_with_a_warning(site, web, export):
    record = stock.certificate(site, web, "web")
    export()
    site.db.certificates.delete_one({"_id": record})
    key = export.folder / "web" / "web" / "key.pem"
    key.write_text("theirs")

    export()

    assert everything_below(export.folder / "web") == ["web/key.pem"]
    assert any("web/web/key.pem" in warning for warning in site.warnings)


def test_x92_an_old_key_that_no_index_names_is_told(site, web, export):
    record = stock.certificate(site, web, "web", with_key=False)
    folder = export.folder / "web" / "web"
    folder.mkdir(parents=True)
    (folder / "key.pem").write_text("of an earlier release")
    (folder / "bundle.p12").write_text("of an earlier release")

    export()

    assert record
    assert any("key.pem" in warning and "bundle.p12" in warning for warning in site.warnings)
    assert (folder / "key.pem").exists()


@pytest.mark.parametrize("name", ["index.json", "index.csv"])
def test_x92_an_index_that_is_not_ours_is_not_written_over(site, web, export, name):
    stock.certificate(site, web, "web")
    export.folder.mkdir()
    (export.folder / name).write_text('{"format": "theirs"}')

    failure = export()

    assert (failure.code, everything_below(export.folder)) == ("export.index_foreign", [name])


def test_x92_one_folder_is_of_one_installation(site, web, export, empty_env_site):
    stock.certificate(site, web, "web")
    export()
    before = everything_below(export.folder)

    with pytest.raises(OpsError) as refused:
        empty_env_site.call("cert_export", dest=str(export.folder))

    assert (refused.value.code, everything_below(export.folder)) == ("export.other_source", before)


def test_x92_a_run_that_is_killed_leaves_nothing_that_no_index_names(site, web, export, monkeypatch):
    for number in range(3):
        stock.certificate(site, web, f"web {number}")
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import private_files

    real, written = private_files.write_private, []

    def dies(path, content, **named):
        if len(written) == 9:
            raise KeyboardInterrupt
        written.append(path)
        real(path, content, **named)

    monkeypatch.setattr(private_files, "write_private", dies)
    with pytest.raises(KeyboardInterrupt):
        export()
    monkeypatch.undo()
    named = {f"{one['folder']}/{file}" for one in index(export.folder).values() for file in one["files"]}
    left = {name for name in everything_below(export.folder) if not name.startswith("index.")}

    assert left <= named
    assert export().changed
    assert not export().changed
    require_fitting_keys(export.folder)


POLICIES = {
    "none": (None, "export.key_forbidden"),
    "off": ({"_id": "certificate_policy", "allow_key_export": False}, "export.key_forbidden"),
    "a text": ({"_id": "certificate_policy", "allow_key_export": "yes"}, "export.key_forbidden"),
    "approval": ({"_id": "certificate_policy", "allow_key_export": True, "approval": ["download_key"]},
                 "export.key_waits"),
}  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
def test_x93_a_policy_that_withholds_keys_is_heeded_and_the_rest_written(site, web, export, policy):
    document, code = POLICIES[policy]
    site.db.settings.delete_many({})
    if document:
        site.db.settings.insert_one(document)
    stock.certificate(site, web, "web")

    failure = export()

    assert (failure.code, codes(failure)) == ("export.incomplete", [code])
    assert everything_below(export.folder / "web") == ["web/cert.pem", "web/chain.pem", "web/fullchain.pem"]
    assert site.db.kek_journal.count_documents({"verb": "cert_export"}) == 0


def test_x93_the_policy_of_the_project_goes_before_that_of_the_installation(site, web, export):
    closed = stock.project(site, "Closed", certificate_policy={"allow_key_export": False})
    stock.certificate(site, web, "open")
    stock.certificate(site, closed, "closed")

    failure = export()

    assert [one["name"] for one in failure.facts["failures"]] == ["closed"]
    assert len(list(export.folder.rglob("key.pem"))) == 1


def test_x93_an_override_is_noted_in_the_journal_before_the_first_key_and_only_where_one_is_written(site, web, export):
    site.db.settings.delete_many({})
    stock.certificate(site, web, "web")
    option = {"override_key_export_policy": True}
    with pytest.raises(OpsError):
        site.call("cert_export", check=True, dest=str(export.folder), formats=("key.pem",), include_keys=True)
    site.call("cert_export", check=True, dest=str(export.folder), formats=("key.pem",), include_keys=True, **option)
    in_check_mode = site.db.kek_journal.count_documents({"verb": "cert_export"})

    done, again = export(**option), export(**option)

    noted = list(site.db.kek_journal.find({"verb": "cert_export"}))
    assert (in_check_mode, done.changed, again.changed, len(noted)) == (0, True, False, 1)
    assert noted[0]["facts"]["key_export_policy"] == "overridden"
    assert noted[0]["facts"]["projects"] == [str(web)]
    require_fitting_keys(export.folder)


def test_x93_without_the_journal_there_is_no_override(site, web, export, monkeypatch):
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import journal

    def refuses(*_arguments, **_named):
        raise OpsError("read only", code="database.unauthorized", hint="")

    monkeypatch.setattr(journal, "append", refuses)
    site.db.settings.delete_many({})
    stock.certificate(site, web, "web")

    failure = export(override_key_export_policy=True)

    assert failure.code == "database.unauthorized"
    assert list(export.folder.rglob("key.pem")) == []


def test_dates_without_a_zone_and_of_the_future_are_what_they_are(site, web, export):
    stock.certificate(site, web, "web", not_after=datetime.datetime(2031, 1, 1, 12))

    done = export()

    (entry,) = done.values["certificates"]
    assert entry["not_after"].endswith("Z")


def test_x91_a_project_that_is_gone_can_be_chosen_by_its_id(site, web, export):
    gone = ObjectId()
    stock.certificate(site, gone, "gone")
    stock.certificate(site, web, "other")

    export(projects=(str(gone),))

    assert [entry["name"] for entry in index(export.folder).values()] == ["gone"]


def test_x92_a_run_that_is_killed_after_a_move_still_names_the_old_folder(site, web, export, monkeypatch):
    from ansible_collections.certautopilot.ops.plugins.module_utils._store.export_folder import ExportFolder

    stock.certificate(site, web, "web")
    export()
    stock.certificate(site, web, "web")

    def dies(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(ExportFolder, "remove", dies)
    with pytest.raises(KeyboardInterrupt):
        export()
    monkeypatch.undo()
    export()

    assert not (export.folder / "web" / "web").exists()
    assert len(list(export.folder.rglob("key.pem"))) == 2
