# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often each verb reads the records, first and second run, counted by pymongo's command monitoring.

The oracle is the driver: what it sent, not what our code says. A collection is `zones` (5 plain records) or
`dns_credentials` (12 sealed ones); both are read equally often by every verb that walks the database.
"""

from __future__ import annotations

import pyrage
import pytest

from tests.integration.reading import watched
from tests.support.sealed import credential

PLAIN, SEALED = "zones", "dns_credentials"


@pytest.fixture
def reads(monkeypatch):
    return watched(monkeypatch)


@pytest.fixture
def recipient(tmp_path):
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity"
    path.touch(mode=0o600)
    path.write_text(f"{identity}\n")
    return path, (str(identity.to_public()),)


def counted(reads, site, verb, **options):
    """Run a verb; return its result and how often it read the plain and the sealed collection as a whole."""
    reads.forget()
    result = site.call(verb, **options)
    return result, (reads.whole[PLAIN], reads.whole[SEALED])


@pytest.mark.parametrize("gather", [("lock",), ("fleet",), ("lock", "fleet")])
def test_lock_and_fleet_are_told_without_asking_for_a_single_record(env_site, reads, gather):
    result, walks = counted(reads, env_site, "kek_info", gather=gather)

    assert walks == (0, 0)
    assert (reads.documents[PLAIN], reads.documents[SEALED], reads.limited[SEALED]) == (0, 0, 0)
    assert result.values["gathered"] == sorted(gather)
    assert result.values["envelopes"] is None
    told = result.values["database"]
    assert told == {"name": env_site.name, "views": None, "documents": None, "collections": None, "empty": None}
    assert (result.values["lock"] is None, result.values["fleet"] is None) == (
        "lock" not in gather,
        "fleet" not in gather,
    )


@pytest.mark.parametrize(
    "gather", [("envelopes",), ("digest",), ("envelopes", "digest"), ("lock", "fleet", "envelopes")]
)
def test_envelopes_and_digest_are_one_walk_alone_and_together(env_site, reads, gather):
    result, walks = counted(reads, env_site, "kek_info", gather=gather)

    assert walks == (1, 1)
    assert (reads.documents[PLAIN], reads.documents[SEALED]) == (5, 12)
    assert ("digest" in result.values["database"]) == ("digest" in gather)
    assert result.values["database"]["documents"] == 17
    assert result.values["database"]["collections"] == {PLAIN: 5, SEALED: 12}


def test_the_digest_is_the_same_alone_with_the_envelopes_and_by_its_old_option(env_site):
    together = env_site.call("kek_info", digest=True).values
    alone = env_site.call("kek_info", gather=("digest",)).values
    without = env_site.call("kek_info").values

    assert together["database"]["digest"] == alone["database"]["digest"]
    assert together["envelopes"] == without["envelopes"]
    assert "digest" not in without["database"]


def test_a_digest_alone_says_of_an_empty_database_that_it_is_empty_and_of_an_installed_one_that_it_is_not(
    new_site, empty_env_site
):
    fresh = new_site()
    fresh.write()

    empties = [
        site.call("kek_info", gather=("digest",)).values["database"]["empty"] for site in (fresh, empty_env_site)
    ]

    assert empties == [True, False]


def test_a_removal_reads_the_database_twice_and_a_second_one_not_at_all(env_site, reads):
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)

    predicted, predicting = counted(reads, env_site, "kek_remove", check=True, version=1, grace=0)
    removed, removing = counted(reads, env_site, "kek_remove", version=1, grace=0)
    documents = (reads.documents[PLAIN], reads.documents[SEALED])
    again, second = counted(reads, env_site, "kek_remove", version=1, grace=0)

    assert (predicted.changed, removed.changed, again.changed) == (True, True, False)
    assert (predicting, removing, second) == ((1, 1), (2, 2), (0, 0))
    assert documents == (10, 24)


def test_an_adoption_reads_to_count_and_once_more_to_open(env_site, reads):
    for name in ("kek_install", "kek_versions", "kek_journal", "kek_layout"):
        env_site.db.drop_collection(name)

    adopted, walks = counted(reads, env_site, "kek_install_lock", adopt=True)

    assert adopted.changed
    assert walks == (2, 2)


def test_an_export_reads_the_source_once_and_a_second_one_asks_the_oplog(env_site, reads, recipient):
    options = {"dest": str(env_site.folder / "bundle"), "recipients": recipient[1]}

    predicted, predicting = counted(reads, env_site, "data_export", check=True, **options)
    exported, exporting = counted(reads, env_site, "data_export", **options)
    sampled = reads.limited[SEALED]
    again, second = counted(reads, env_site, "data_export", **options)
    not_sampled = reads.limited[SEALED]
    env_site.db.zones.insert_one({"_id": 99})
    changed, third = counted(reads, env_site, "data_export", **options)

    assert (predicted.changed, exported.changed, again.changed, changed.changed) == (True, True, False, True)
    assert (predicting, exporting, second, third) == ((1, 1), (1, 1), (0, 0), (1, 1))
    assert (sampled, not_sampled) == (1, 0)
    assert predicted.values["manifest"]["source_digest"] == exported.values["manifest"]["source_digest"]


def test_a_backup_reads_the_source_once_and_a_second_one_too(env_site, reads, tmp_path):
    options = {"dest": str(tmp_path / "backup")}

    predicted, predicting = counted(reads, env_site, "db_backup", check=True, **options)
    backed_up, writing = counted(reads, env_site, "db_backup", **options)
    again, second = counted(reads, env_site, "db_backup", **options)

    assert (predicted.changed, backed_up.changed, again.changed) == (True, True, False)
    assert (predicting, writing, second) == ((1, 1), (1, 1), (1, 1))
    assert backed_up.values["manifest"]["source_digest"] == predicted.values["manifest"]["source_digest"]


def test_an_import_reads_its_destination_once_to_prove_it_and_a_second_one_too(
    env_site, empty_env_site, reads, recipient
):
    dest = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(dest), recipients=recipient[1])
    options = {"src": str(dest), "identity_file": str(recipient[0]), "trust": "bundle"}

    first, importing = counted(reads, empty_env_site, "data_import", **options)
    again, second = counted(reads, empty_env_site, "data_import", **options)
    compared, comparing = counted(reads, empty_env_site, "data_import", mode="compare", **options)
    predicted, predicting = counted(reads, empty_env_site, "data_import", check=True, **options)

    assert (first.changed, again.changed, compared.changed, predicted.changed) == (True, False, False, False)
    assert (importing, second, comparing, predicting) == ((1, 1), (1, 1), (1, 1), (1, 1))
    assert sum(reads.looked_up.values()) == 0


def test_a_second_pass_looks_up_only_what_differs(env_site, empty_env_site, reads, recipient):
    dest = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(dest), recipients=recipient[1])
    options = {"src": str(dest), "identity_file": str(recipient[0]), "trust": "bundle"}
    empty_env_site.call("data_import", **options)
    env_site.db.dns_credentials.insert_many([credential(env_site.keks[1], b"new") for _number in range(3)])
    env_site.db.zones.insert_one({"_id": -1})
    env_site.call("data_export", dest=str(dest), recipients=recipient[1])

    second, walks = counted(reads, empty_env_site, "data_import", **options)

    assert second.values["manifest"]["imported"] == 4
    assert walks == (2, 2)  # one to write what differs, one to prove
    assert sum(reads.looked_up.values()) <= 4


def test_certificates_without_keys_are_read_without_a_walk_and_with_keys_by_a_sample(env_site, reads, tmp_path):
    _plain, without = counted(reads, env_site, "cert_export", dest=str(tmp_path / "a"))
    _keyed, with_keys = counted(reads, env_site, "cert_export", dest=str(tmp_path / "b"), include_keys=True)

    assert (without, with_keys) == ((0, 0), (0, 0))
    assert reads.documents[SEALED] <= 4
