# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forgotten certificate: from the old database or a dump into a running installation, or refused with nothing done.

Oracles: the bytes of both databases, `tests.support.oracle` for envelopes, openssl for keys. None of it is our code.
"""

from __future__ import annotations

import threading

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import recovered_certificates
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration

from tests.integration import stock
from tests.support import mongodump_forms, pki
from tests.support.oracle import Side, digest
from tests.support.sealed import envelope


@pytest.fixture
def old(env_site):
    """The old installation: two projects, an ACME account, and a certificate with its key in each project."""
    web, shop = stock.project(env_site, "Web"), stock.project(env_site, "Shop")
    account = bson.ObjectId()
    env_site.db.acme_accounts.insert_one({
        "_id": account, "project_id": shop, "kek_version": 1,
        "encrypted_private_key": envelope(env_site.keks[1], account, "encrypted_private_key", b"account key"),
    })  # fmt: skip
    stock.certificate(env_site, web, "web")
    stock.certificate(env_site, shop, "shop", acme_account_id=account)
    return env_site


@pytest.fixture
def new(empty_env_site, old):
    """The new installation: the same projects and the ACME account, sealed under its own KEK; no certificate."""
    empty_env_site.db.projects.insert_many(list(old.db.projects.find()))
    account = old.db.acme_accounts.find_one()
    own = envelope(empty_env_site.keks[1], account["_id"], "encrypted_private_key", b"account key")
    empty_env_site.db.acme_accounts.insert_one({**account, "encrypted_private_key": own})
    return empty_env_site


def source_of(site, **options):
    """Return the settings of an old installation, as the options of its files give them."""
    files = {"source_config_file": str(site.config_file), "source_secrets_file": str(site.secrets_file)}
    return configuration.settings_of_source({**files, **options}, environment={}, warn=site.warnings.append)


def recover(new, old, **options):
    return new.call("cert_recover", source=source_of(old), **options)


def refused(new, old, code, **options):
    """See that it is refused, with nothing written to either side; return the failure."""
    before = new.documents(), digest(old.db)
    with pytest.raises(OpsError) as caught:
        recover(new, old, **options)
    assert caught.value.code == code
    assert (new.documents(), digest(old.db)) == before
    return caught.value


def key_of(site, certificate_id):
    """Return (the record, the private key in it as the oracle opens it)."""
    (record,) = site.db.certificate_private_keys.find({"certificate_id": certificate_id})
    side = Side(site.config_file, site.secrets_file)
    return record, side.open(record["_id"], "encrypted_key", record["encrypted_key"])


def assert_recovered(new, old, name):
    """See that a certificate is at the new installation as it is at the old one, and its key under the new KEK."""
    there, here = (site.db.certificates.find_one({"name": name}) for site in (old, new))
    assert bson.encode(here) == bson.encode(there)
    (record, key), (sealed, at_source) = key_of(new, here["_id"]), key_of(old, there["_id"])
    assert key == at_source
    assert (record["_id"], record["kek_version"], record["encrypted_key"]["provider"]) == (sealed["_id"], 1, "env")
    assert record["encrypted_key"]["wrapped_dek"] != sealed["encrypted_key"]["wrapped_dek"]
    assert pki.public_key(key) == pki.public_of(here["certificate_pem"].encode())


FORMS = {
    "folder": mongodump_forms.write_folder,
    "packed-folder": lambda db, path: mongodump_forms.write_folder(db, path, packed=True),
    "archive": mongodump_forms.write_archive,
    "packed-archive": lambda db, path: mongodump_forms.write_archive(db, path, packed=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_from_a_dump_of_mongodump_the_certificate_and_its_key_come_and_a_second_run_changes_nothing(
    new, old, tmp_path, form
):
    dump = FORMS[form](old.db, tmp_path / "dump")
    before = digest(old.db)

    checked = new.call("cert_recover", source=source_of(old), src=str(dump), names=["shop"], check=True)
    after_check = new.documents()
    first = recover(new, old, src=str(dump), names=["shop"])
    second = recover(new, old, src=str(dump), names=["shop"])

    assert not {"certificates", "certificate_private_keys"} & set(after_check)
    assert (checked.changed, first.changed, second.changed) == (True, True, False)
    assert checked.values["certificates"] == first.values["certificates"]
    assert second.values["counts"] == {"recovered": 0, "completed": 0, "present": 1, "kept": 0}
    assert_recovered(new, old, "shop")
    assert new.db.certificates.count_documents({}) == 1
    assert digest(old.db) == before
    (entry,) = new.db.kek_journal.find({"verb": "cert_recover"})
    assert (entry["facts"]["records"], len(entry["facts"]["certificates"])) == (2, 1)


@pytest.mark.parametrize("named", ["names", "ids", "serials", "projects"])
def test_from_the_stopped_old_database_by_each_way_of_naming(new, old, named):
    record = old.db.certificates.find_one({"name": "shop"})
    serial = f"0{record['serial_number'].upper()}"
    shown = {"names": "shop", "ids": str(record["_id"]), "serials": serial, "projects": "shop"}
    before = digest(old.db)

    result = recover(new, old, **{named: [shown[named]]})

    assert [one["name"] for one in result.values["certificates"]] == ["shop"]
    assert_recovered(new, old, "shop")
    assert digest(old.db) == before
    assert list(old.db.locks.find()) == []


def test_from_our_backup_with_its_identity_alone_encrypted_as_a_whole(new, old, identity, tmp_path):
    recipient = new.call("bundle_identity", path=str(identity)).values["recipient"]
    made = old.call("db_backup", dest=str(tmp_path / "backup"), recipients=(recipient,), encrypt="all")
    src = {"src": str(tmp_path / "backup"), "manifest_sha256": made.values["manifest_sha256"]}

    result = new.call("cert_recover", **src, identity_file=str(identity), names=("web", "shop"))

    assert result.values["counts"]["recovered"] == 2
    for name in ("web", "shop"):
        assert_recovered(new, old, name)


def test_a_certificate_that_was_deleted_comes_back_from_a_backup_of_the_same_installation(old, tmp_path):
    old.call("db_backup", dest=str(tmp_path / "backup"))
    record = old.db.certificates.find_one_and_delete({"name": "web"})
    before = key_of(old, record["_id"])

    result = old.call("cert_recover", src=str(tmp_path / "backup"), names=("web",))

    assert result.values["records"] == 1  # its key was never gone
    assert old.db.certificates.find_one({"_id": record["_id"]}) == record
    assert key_of(old, record["_id"]) == before


def test_from_an_env_installation_into_one_with_an_hsm_and_back(old, hsm_site, tmp_path):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.db.projects.insert_many(list(old.db.projects.find()))
    recover(hsm_site, old, names=("web",))
    stock_id = old.db.certificates.find_one_and_delete({"name": "web"})["_id"]
    at_source = key_of(old, stock_id)[1]
    old.db.certificate_private_keys.delete_one({"certificate_id": stock_id})
    before, locks = digest(hsm_site.db), list(hsm_site.db.locks.find())

    recover(old, hsm_site, names=("web",))

    assert key_of(old, stock_id)[1] == at_source
    assert (digest(hsm_site.db), list(hsm_site.db.locks.find())) == (before, locks)
    assert [one["_id"] for one in old.db.locks.find() if one["_id"].startswith("pin:")]  # its turn was taken here


def test_a_missing_key_alone_is_completed_and_what_the_product_changed_stays(new, old):
    record = old.db.certificates.find_one({"name": "web"})
    new.db.certificates.insert_one({**record, "status": "expired"})

    result = recover(new, old, names=("web",))

    (one,) = result.values["certificates"]
    assert (one["outcome"], one["differs"]) == ("completed", ["status"])
    assert new.db.certificates.find_one({"name": "web"})["status"] == "expired"
    assert pki.public_key(key_of(new, record["_id"])[1]) == pki.public_of(record["certificate_pem"].encode())


def test_a_certificate_that_is_there_and_differs_is_refused_or_kept_and_never_overwritten(new, old):
    record = old.db.certificates.find_one({"name": "web"})
    renewed = stock.authority().leaf("web", number=7)
    new.db.certificates.insert_one({**record, "certificate_pem": renewed.pem})
    stock.key(new, record["_id"], renewed.key)

    failure = refused(new, old, "recover.exists", names=("web", "shop"))
    kept = recover(new, old, names=("web", "shop"), existing="keep")

    assert [one["name"] for one in failure.facts["conflicts"]] == ["web"]
    assert format(renewed.certificate.serial_number, "x") in failure.message
    assert kept.values["counts"] == {"recovered": 1, "completed": 0, "present": 0, "kept": 1}
    assert new.db.certificates.find_one({"name": "web"})["certificate_pem"] == renewed.pem
    assert_recovered(new, old, "shop")


def test_one_that_was_uploaded_by_hand_under_another_id_is_refused_by_that_id(new, old):
    record = old.db.certificates.find_one({"name": "web"})
    by_hand = bson.ObjectId()
    new.db.certificates.insert_one({**record, "_id": by_hand})

    assert str(by_hand) in refused(new, old, "recover.exists", names=("web",)).message


def test_another_key_in_the_place_of_its_own_is_refused(new, old):
    record = old.db.certificates.find_one({"name": "web"})
    stock.key(new, record["_id"], stock.authority().leaf("another", number=6).key)

    assert "another key" in refused(new, old, "recover.exists", names=("web",)).message


def test_a_project_that_the_destination_lacks_is_named_with_those_it_has_and_another_can_be_named(new, old):
    record = old.db.certificates.find_one({"name": "shop"})
    new.db.projects.delete_one({"_id": record["project_id"]})
    made_by_hand = stock.project(new, "Verkauf")

    failure = refused(new, old, "recover.project_missing", names=("shop",))
    nowhere = refused(new, old, "recover.project_missing", names=("shop",), into_project="nowhere")
    stock.project(new, "verkauf")
    refused(new, old, "recover.project_ambiguous", names=("shop",), into_project="verkauf")
    result = recover(new, old, names=("shop",), into_project=str(made_by_hand))
    again = recover(new, old, names=("shop",), into_project=str(made_by_hand))

    assert any("Verkauf" in one or "verkauf" in one for one in failure.facts["projects"])
    assert "nowhere" in nowhere.message
    assert (result.changed, again.changed) == (True, False)
    here = new.db.certificates.find_one({"_id": record["_id"]})
    assert here == {**record, "project_id": made_by_hand}
    assert list(here) == list(record)
    assert key_of(new, record["_id"])[1] == key_of(old, record["_id"])[1]


def test_what_a_certificate_refers_to_is_refused_left_or_brought_sealed_anew(new, old):
    account = new.db.acme_accounts.find_one_and_delete({})
    place = f"acme_accounts/{account['_id']}"

    failure = refused(new, old, "recover.references_missing", names=("shop",))
    brought = recover(new, old, names=("shop",), references="bring")

    assert failure.facts["references"] == [place]
    assert brought.values["brought_beside"] == [place]
    here = new.db.acme_accounts.find_one({"_id": account["_id"]})
    opened = Side(new.config_file, new.secrets_file).open(
        here["_id"], "encrypted_private_key", here["encrypted_private_key"]
    )
    assert opened == b"account key"
    assert_recovered(new, old, "shop")


def test_references_can_be_left(new, old):
    new.db.acme_accounts.delete_many({})

    assert recover(new, old, names=("shop",), references="leave").values["brought_beside"] == []
    assert new.db.acme_accounts.count_documents({}) == 0
    assert_recovered(new, old, "shop")


def test_a_key_that_does_not_fit_is_refused_and_of_two_the_one_that_fits_comes(new, old):
    record = old.db.certificates.find_one({"name": "web"})
    other = stock.key(old, record["_id"], stock.authority().leaf("another", number=6).key)
    recover(new, old, names=("web",))
    assert pki.public_key(key_of(new, record["_id"])[1]) == pki.public_of(record["certificate_pem"].encode())
    assert any(str(other) in warning for warning in new.warnings)

    shop = old.db.certificates.find_one({"name": "shop"})
    old.db.certificate_private_keys.delete_one({"certificate_id": shop["_id"]})
    stock.key(old, shop["_id"], stock.authority().leaf("another", number=6).key)
    assert "shop" in refused(new, old, "recover.key_mismatch", names=("shop",)).message


def test_a_certificate_whose_key_was_made_elsewhere_comes_without_one_and_that_is_said(new, old):
    stock.certificate(old, old.db.projects.find_one()["_id"], "by csr", with_key=False)

    result = recover(new, old, names=("by csr",))

    assert (result.values["records"], result.values["certificates"][0]["has_key"]) == (1, False)
    assert any("by csr" in warning for warning in new.warnings)


def test_what_cannot_be_begun_is_refused_by_its_code(new, old, empty_env_site):
    stock.certificate(old, old.db.projects.find_one()["_id"], "pending", certificate_pem="", with_key=False)

    refused(new, old, "recover.nothing_named")
    refused(new, old, "recover.not_found", names=("web", "webb"))
    refused(new, old, "recover.not_found", projects=("nobody's",))
    refused(new, old, "recover.no_certificate", names=("pending",))
    refused(new, new, "recover.same_database", names=("web",))
    with pytest.raises(OpsError) as no_source:
        new.call("cert_recover", names=("web",))
    assert no_source.value.code == "recover.source"


def test_without_the_old_keys_or_with_others_it_is_refused(new, old, tmp_path):
    dump = str(mongodump_forms.write_folder(old.db, tmp_path / "dump"))
    with pytest.raises(OpsError) as missing:
        new.call("cert_recover", src=dump, names=("web",))
    with pytest.raises(OpsError) as wrong:
        recover(new, new, src=dump, names=("web",))

    assert (missing.value.code, wrong.value.code) == ("recover.keys_missing", "key.wrong")
    assert "certificates" not in new.db.list_collection_names()


def test_a_dump_that_is_damaged_is_refused(new, old, tmp_path):
    dump = mongodump_forms.write_archive(old.db, tmp_path / "dump")
    content = bytearray(dump.read_bytes())
    content[content.rindex(b"certificate_pem") + 60] ^= 1
    dump.write_bytes(bytes(content))

    refused(new, old, "restore.damaged", src=str(dump), names=("web",))


def test_a_migration_that_is_not_accepted_yet_is_not_disturbed(new, old):
    new.db.kek_imports.insert_one({"_id": "of-another", "state": "proven"})

    refused(new, old, "recover.migration_open", names=("web",))


def test_a_live_old_service_is_said_and_its_database_only_read(new, old):
    now = old.client.admin.command("hello")["localTime"]
    old.db.process_heartbeats.insert_one({"_id": "node", "updated_at": now})

    result = recover(new, old, names=("web",))

    assert result.values["source"]["is_served"] is True
    assert any("only read" in warning for warning in new.warnings)


def test_what_was_inserted_is_taken_back_where_the_proof_fails(new, old, monkeypatch):
    """Somebody alters the key record between its insertion and the proof."""

    def altered(destination, writes, wanted=recovered_certificates._prove):
        new.db.certificate_private_keys.update_one({}, {"$set": {"note": "by another hand"}})
        wanted(destination, writes)

    monkeypatch.setattr(recovered_certificates, "_prove", altered)

    with pytest.raises(OpsError) as caught:
        recover(new, old, names=("web",))

    assert caught.value.code == "recover.not_equal"
    assert new.db.certificates.count_documents({}) == 0
    assert new.db.certificate_private_keys.count_documents({}) == 1  # not ours any more, byte for byte: it stays
    assert [entry["verb"] for entry in new.db.kek_journal.find()].count("cert_recover") == 0


def test_two_runs_at_once_bring_it_once(new, old):
    results, failures = [], []

    def one():
        try:
            results.append(recover(new, old, names=("web",)).changed)
        except OpsError as failure:
            failures.append(failure.code)

    threads = [threading.Thread(target=one) for _number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (sorted(results), failures) == ([False, True], [])
    assert_recovered(new, old, "web")
