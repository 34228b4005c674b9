# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles of what changed since another one: what the freeze of a migration moves, whatever the size of the database.

Both ways to find the changes are tried: the server's oplog, and one raw read where there is none. What was read is
counted by the driver's monitoring; both sides are compared by raw BSON and tests/support/sealed.py.
"""

from __future__ import annotations

import errno
import shutil

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import proven_index
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes, records

from tests.integration.reading import watched
from tests.support import mounts
from tests.support.age_keys import public_of
from tests.support.sealed import credential, envelope, plaintext_of

SEALED, FIELD = "dns_credentials", "encrypted_api_key"
WAYS = ("oplog", "raw_read")


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """How changes are found. Without an oplog the server gives no operation time, as a standalone one does."""
    if request.param == "raw_read":
        monkeypatch.setattr(changes, "begin", lambda _store: None)
    return request.param


class Sides:
    """A source and a destination, and the bundles between them."""

    def __init__(self, source, destination, identity):
        self.source, self.destination, self.identity = source, destination, identity
        self.whole, self.changed = source.folder / "bundle", source.folder / "changes"
        self.recipients = (public_of(identity),)

    def export(self, **options):
        return self.source.call("data_export", dest=str(self.whole), recipients=self.recipients, **options)

    def export_changes(self, **options):
        where = {"dest": str(self.changed), "base": str(self.whole)}
        return self.source.call("data_export", recipients=self.recipients, **{**where, **options})

    def load(self, **options):
        where = {"src": str(self.whole), "identity_file": str(self.identity)}
        return self.destination.call("data_import", **{**where, **options})

    def load_changes(self, **options):
        where = {"src": str(self.changed), "base": str(self.whole), "identity_file": str(self.identity)}
        return self.destination.call("data_import", **{**where, **options})

    def require_equal(self):
        """Compare every record, independently of the code under test."""
        for name in {"zones", SEALED} | set(self.source.db.list_collection_names()):
            if name.startswith(("kek_", "locks", "process_")):
                continue
            left, right = ({d["_id"]: d for d in s.db[name].find()} for s in (self.source, self.destination))
            assert set(left) == set(right)
            for record_id, record in left.items():
                other = right[record_id]
                if FIELD in record:
                    opened = [
                        plaintext_of(s.keks[1], record_id, FIELD, d.pop(FIELD))
                        for s, d in ((self.source, record), (self.destination, other))
                    ]
                    assert opened[0] == opened[1]
                assert bson.encode(record) == bson.encode(other)


@pytest.fixture
def sides(env_site, empty_env_site, identity, way):
    """Two sides that are equal: everything was exported, imported and proven."""
    made = Sides(env_site, empty_env_site, identity)
    made.export()
    made.load()
    return made


def change_some(site):
    """Change, add and delete, in records with and without envelopes; also change one and back."""
    changed, gone = list(site.db[SEALED].find().limit(2))
    fresh = envelope(site.keks[1], changed["_id"], FIELD, b"rotated by its owner")
    site.db[SEALED].update_one({"_id": changed["_id"]}, {"$set": {FIELD: fresh}})
    site.db[SEALED].delete_one({"_id": gone["_id"]})
    site.db[SEALED].insert_one(credential(site.keks[1], b"new"))
    site.db.zones.update_one({"_id": 1}, {"$set": {"apex": "changed.example"}})
    site.db.zones.delete_one({"_id": 2})
    site.db.zones.insert_many([{"_id": 99, "apex": "new.example"}, {"_id": "text", "apex": "other type"}])
    back = site.db.zones.find_one({"_id": 3})
    site.db.zones.update_one({"_id": 3}, {"$set": {"apex": "for a while"}})
    site.db.zones.replace_one({"_id": 3}, back)
    site.db.fresh_collection.insert_one({"_id": 1})


def test_only_what_changed_is_exported_imported_and_opened_and_both_sides_are_equal(sides, way, monkeypatch):
    change_some(sides.source)
    opened = []
    unwrap = EnvProvider.unwrap

    def counted(self, asked, **named):
        opened.append(len(asked))
        return unwrap(self, asked, **named)

    monkeypatch.setattr(EnvProvider, "unwrap", counted)

    exported = sides.export_changes().values["manifest"]
    sealed_opened = sum(opened)
    told = sides.load_changes().values["manifest"]

    back_again = way == "oplog"  # the oplog tells of a record that changed and changed back, bytes do not
    assert exported["found_by"] == way
    assert (exported["records"], sum(exported["removed"].values())) == (6 + back_again, 2)
    assert (told["imported"], told["updated"], told["deleted"]) == (4, 2, 2)
    assert (told["records"], told["equal"], told["opened"]) == (19, 19, 6 + back_again)
    assert told["unmoved_by"] == way
    assert sealed_opened == 2 + 1  # two that changed, and the canary
    sides.require_equal()


def test_what_is_read_does_not_grow_with_the_database_where_there_is_an_oplog(sides, way, monkeypatch):
    sides.source.db.zones.update_one({"_id": 1}, {"$set": {"apex": "changed.example"}})
    reads = watched(monkeypatch)

    sides.export_changes()
    whole_at_source = reads.whole["zones"]
    sides.load_changes()

    expected = 0 if way == "oplog" else 1
    assert (whole_at_source, reads.whole["zones"]) == (expected, 2 * expected)


def test_nothing_changed_is_a_bundle_of_nothing_and_a_proof_of_everything(sides):
    exported = sides.export_changes().values["manifest"]
    told = sides.load_changes().values["manifest"]

    assert (exported["records"], exported["removed"]) == (0, {})
    assert (told["records"], told["equal"], told["opened"]) == (17, 17, 0)
    sides.require_equal()


def test_both_can_be_run_again_and_change_nothing(sides):
    change_some(sides.source)
    first = sides.export_changes()
    sides.load_changes()
    before = sides.destination.documents()

    again, imported = sides.export_changes(), sides.load_changes()

    assert (again.changed, imported.changed) == (False, False)
    assert again.values["manifest_sha256"] == first.values["manifest_sha256"]
    assert imported.values["manifest"]["equal"] == 19
    assert sides.destination.documents() == before


def test_a_write_after_the_export_of_changes_is_told_by_exporting_again(sides):
    change_some(sides.source)
    sides.export_changes()
    sides.source.db.zones.insert_one({"_id": "late"})

    late = sides.export_changes()
    sides.load_changes()

    assert late.changed
    sides.require_equal()


def test_the_proof_of_changes_can_be_made_again_and_writes_no_record(sides):
    change_some(sides.source)
    sides.export_changes()
    sides.load_changes()
    before = sides.destination.documents()

    told = sides.load_changes(mode="compare").values["manifest"]

    assert (told["records"], told["equal"]) == (19, 19)
    assert sides.destination.documents() == before


def test_a_record_that_moved_at_the_destination_after_its_proof_is_named(sides):
    change_some(sides.source)
    sides.export_changes()
    sides.destination.db.zones.update_one({"_id": 4}, {"$set": {"apex": "moved.example"}})

    with pytest.raises(OpsError) as refusal:
        sides.load_changes()

    assert refusal.value.code == "import.destination_moved"
    assert "zones/4" in refusal.value.message


@pytest.mark.parametrize("how", ["added", "removed"])
def test_a_record_that_came_or_went_at_the_destination_after_its_proof_is_named(sides, how):
    sides.export_changes()
    zones = sides.destination.db.zones
    zones.insert_one({"_id": 77}) if how == "added" else zones.delete_one({"_id": 0})

    with pytest.raises(OpsError) as refusal:
        sides.load_changes()

    assert refusal.value.code == "import.destination_moved"


def test_after_a_refusal_everything_can_be_exported_and_imported(sides):
    sides.export_changes()
    sides.destination.db.zones.insert_one({"_id": 77})
    with pytest.raises(OpsError):
        sides.load_changes()
    change_some(sides.source)

    sides.export()
    told = sides.load().values["manifest"]

    assert (told["records"], told["equal"], told["deleted"]) == (19, 19, 3)
    sides.require_equal()


def test_changes_of_another_bundle_are_refused_before_anything_is_touched(sides):
    other = sides.source.folder / "other"
    shutil.copytree(sides.whole, other)
    change_some(sides.source)
    sides.export()  # the base is another one now
    sides.export_changes()
    before = sides.destination.documents()

    with pytest.raises(OpsError) as differs:
        sides.load_changes()
    with pytest.raises(OpsError) as elsewhere:
        sides.load_changes(base=str(other))
    with pytest.raises(OpsError) as without:
        sides.load_changes(base=None)

    assert (differs.value.code, elsewhere.value.code) == ("import.base_differs", "import.base_differs")
    assert without.value.code == "import.base_missing"
    assert sides.destination.documents() == before


def test_an_empty_destination_takes_no_changes(sides, new_site):
    change_some(sides.source)
    sides.export_changes()
    empty = new_site()
    empty.add_kek(1)
    empty.write()
    empty.call("kek_install_lock")

    with pytest.raises(OpsError) as refusal:
        empty.call("data_import", src=str(sides.changed), base=str(sides.whole), identity_file=str(sides.identity))

    assert refusal.value.code == "import.base_differs"


@pytest.mark.parametrize("fault", ["no index", "a damaged index", "a cut index", "no bundle", "changes"])
def test_without_a_base_that_fits_everything_is_exported_and_a_warning_says_why(sides, fault, way):
    index, base = sides.whole / "source.index", sides.whole
    if fault == "no index":
        index.unlink()
    elif fault == "a damaged index":
        index.write_bytes(b"x" * 100)
    elif fault == "a cut index":
        index.write_bytes(index.read_bytes()[:30])
    elif fault == "no bundle":
        base = sides.source.folder / "nowhere"
    else:
        sides.export_changes(dest=str(sides.source.folder / "first"))
        base = sides.source.folder / "first"
    change_some(sides.source)
    sides.source.warnings.clear()

    exported = sides.export_changes(base=str(base)).values["manifest"]
    told = sides.load_changes(base=None).values["manifest"]

    assert (exported["found_by"], exported["base"], exported["records"]) == ("everything", "", 19)
    assert any("everything is exported" in one for one in sides.source.warnings)
    assert (told["records"], told["equal"]) == (19, 19)
    sides.require_equal()


@pytest.mark.usefixtures("way")
def test_records_that_exchanged_a_unique_value_arrive_though_the_index_is_there(env_site, empty_env_site, identity):
    env_site.db.zones.create_index("apex", unique=True)
    sides = Sides(env_site, empty_env_site, identity)
    sides.export()
    sides.load()
    zones = env_site.db.zones
    first, second = zones.find_one({"_id": 0}), zones.find_one({"_id": 1})
    zones.delete_many({"_id": {"$in": [0, 1]}})
    zones.insert_many([{**first, "apex": second["apex"]}, {**second, "apex": first["apex"]}])

    sides.export_changes()
    told = sides.load_changes().values["manifest"]

    assert (told["updated"], told["equal"]) == (2, 17)
    assert empty_env_site.db.zones.index_information()["apex_1"]["unique"]
    sides.require_equal()


def test_an_import_of_changes_that_was_killed_is_completed_by_the_next(sides, monkeypatch):
    change_some(sides.source)
    sides.export_changes()
    real = records.delete_ids

    def dies(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "delete_ids", dies)
    with pytest.raises(KeyboardInterrupt):
        sides.load_changes()
    monkeypatch.setattr(records, "delete_ids", real)

    told = sides.load_changes().values["manifest"]

    assert (told["records"], told["equal"]) == (19, 19)
    assert sides.destination.call("kek_info").values["migration"]["records"] == 19
    sides.require_equal()


def test_in_check_mode_both_say_what_they_would_do_and_write_nothing(sides):
    change_some(sides.source)
    before_source = sides.source.documents()
    predicted = sides.export_changes(check=True).values["manifest"]
    assert sides.source.documents() == before_source
    assert not sides.changed.exists()
    sides.export_changes()
    before = sides.destination.documents()

    told = sides.load_changes(check=True)

    assert (predicted["records"], predicted["gone"]) == (6, 2)
    counts = {name: told.values["manifest"][name] for name in ("imported", "updated", "deleted", "records")}
    assert (told.changed, counts) == (True, {"imported": 4, "updated": 2, "deleted": 2, "records": 19})
    assert sides.destination.documents() == before


def test_check_mode_says_unchanged_of_a_bundle_of_changes_exactly_while_nothing_has_changed_since(sides):
    change_some(sides.source)
    sides.export_changes()
    before = sides.source.documents()
    there = sides.export_changes(check=True)
    assert (there.changed, sides.source.documents()) == (False, before)

    sides.source.db[SEALED].delete_one({})

    assert sides.export_changes(check=True).changed


def test_after_a_bundle_of_no_changes_its_base_can_be_imported_again(sides):
    sides.export_changes()
    sides.load_changes()

    again = sides.load()

    assert not again.changed
    assert again.values["manifest"]["equal"] == 17


def test_a_bundle_in_a_folder_that_cannot_be_written_to_is_imported_and_a_warning_says_what_that_costs(
    env_site, empty_env_site, identity, monkeypatch
):
    sides = Sides(env_site, empty_env_site, identity)
    sides.export()

    def read_only(_folder):
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(proven_index.unfinished, "file_in", read_only)

    told = sides.load().values["manifest"]

    assert (told["records"], told["equal"]) == (17, 17)
    assert any("changes cannot be imported on top of this bundle" in one for one in empty_env_site.warnings)
    assert not (sides.whole / "proven.index").exists()


def test_changes_are_not_exported_over_their_own_base(sides):
    before = {path.name: path.read_bytes() for path in sides.whole.iterdir()}
    change_some(sides.source)

    with pytest.raises(OpsError) as refusal:
        sides.export_changes(dest=f"{sides.whole}/../{sides.whole.name}")

    assert refusal.value.code == "export.base_is_dest"
    assert {path.name: path.read_bytes() for path in sides.whole.iterdir()} == before


def test_an_import_whose_disk_is_too_full_for_the_index_proves_all_the_same(
    env_site, empty_env_site, identity, tmp_path
):
    env_site.db.zones.insert_many([{"_id": number + 1000, "apex": "x"} for number in range(3000)])
    sides = Sides(env_site, empty_env_site, identity)
    sides.export()
    size = sum(path.stat().st_size for path in sides.whole.iterdir() if path.name != "source.index")
    (tmp_path / "small").mkdir()
    with mounts.tmpfs(tmp_path / "small", size=size + 64 * 1024) as folder:
        for name in ("manifest.json", "records.age"):
            shutil.copy(sides.whole / name, folder)

        told = sides.load(src=str(folder)).values["manifest"]

        assert (told["records"], told["equal"]) == (3017, 3017)
        assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "records.age"]
    assert any(
        "changes cannot be imported on top" in one and "no space" in one.lower() for one in empty_env_site.warnings
    )
