# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups, bundles and certificates written to odd places, to disks of their own, and to disks that are full."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import backup_manifest
from ansible_collections.certautopilot.ops.plugins.module_utils._store import unfinished

from tests.support.mounts import tmpfs

DYING = Path(__file__).parents[1] / "processes" / "dying.py"
MIB = 1024 * 1024
RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())
WRITERS = {"db_backup": {}, "data_export": {"recipients": (RECIPIENT,)}}
EVERY_WRITER = pytest.mark.parametrize("verb", WRITERS)


def write(site, verb, dest, **named):
    return site.call(verb, dest=str(dest), **WRITERS[verb], **named)


def refusal(site, verb, dest, **named):
    with pytest.raises(OpsError) as refused:
        write(site, verb, dest, **named)
    assert str(dest.parent) in refused.value.message
    return refused.value


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def largest_file(size):
    """Let this process write no file larger than so many bytes; the system answers EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@EVERY_WRITER
def test_x83_an_empty_mount_point_is_written_inside_and_stays_a_mount_point(env_site, tmp_path, verb):
    dest = tmp_path / "mounted"
    dest.mkdir()
    with tmpfs(dest, size=16 * MIB):
        (dest / "lost+found").mkdir()
        device = dest.stat().st_dev

        first, second = write(env_site, verb, dest), write(env_site, verb, dest)

        assert (first.changed, second.changed) == (True, False)
        assert dest.is_mount()
        assert {path.stat().st_dev for path in dest.rglob("*")} == {device}
        assert not [name for name in everything_in(dest) if "unfinished" in name]
    assert everything_in(dest) == []  # nothing below the mount
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@EVERY_WRITER
def test_x83_a_small_disk_mounted_at_dest_is_full_and_the_parents_is_not_touched(env_site, tmp_path, verb):
    env_site.db.events.insert_many({"text": os.urandom(50_000).hex()} for _number in range(20))
    dest = tmp_path / "mounted"
    dest.mkdir()
    with tmpfs(dest, size=256 * 1024):
        refused = refusal(env_site, verb, dest)

        assert (refused.code, "ENOSPC" in refused.message) == ("file.no_space", True)
        assert everything_in(dest) == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@EVERY_WRITER
def test_x83_a_file_that_may_not_grow_is_named_with_its_errno(env_site, tmp_path, verb):
    env_site.db.events.insert_many({"text": os.urandom(50_000).hex()} for _number in range(20))
    with largest_file(64 * 1024):
        refused = refusal(env_site, verb, tmp_path / "new")

    assert (refused.code, "EFBIG" in refused.message) == ("file.too_large", True)
    assert not (tmp_path / "new").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def a_file(path):
    path.write_bytes(b"theirs")


def a_link(path):
    target = path.with_name("target")
    target.mkdir()
    path.symlink_to(target)


@pytest.mark.parametrize("check", [False, True])
@EVERY_WRITER
@pytest.mark.parametrize("make", [a_file, os.mkfifo, a_link], ids=["file", "fifo", "link"])
def test_x83_a_dest_that_is_no_folder_is_refused_by_its_kind_and_left_as_it_is(env_site, tmp_path, verb, make, check):
    dest = tmp_path / "dest"
    make(dest)
    before = everything_in(tmp_path)

    refused = refusal(env_site, verb, dest, check=check)

    assert (refused.code, everything_in(tmp_path)) == ("file.kind", before)


@EVERY_WRITER
def test_x83_a_parent_that_is_a_file_and_a_name_of_300_bytes_are_named(env_site, tmp_path, verb):
    a_file(tmp_path / "file")

    parent, long = refusal(env_site, verb, tmp_path / "file" / "dest"), refusal(env_site, verb, tmp_path / ("x" * 300))

    assert (parent.code, long.code) == ("file.kind", "file.name_too_long")


@EVERY_WRITER
def test_a_name_of_255_bytes_is_none_too_many(env_site, tmp_path, verb):
    assert write(env_site, verb, tmp_path / ("x" * 255)).changed


@EVERY_WRITER
def test_x24_a_dest_into_which_others_may_write_is_refused(env_site, tmp_path, verb):
    dest = tmp_path / "dest"
    dest.mkdir()
    dest.chmod(0o777)

    assert (refusal(env_site, verb, dest).code, everything_in(dest)) == ("file.permissions", [])


def test_x83_collections_with_long_names_are_dumped_under_names_that_mongodump_gives(env_site, tmp_path):
    name = "\u5bc6\u94a5" * 30  # 60 characters, 540 bytes when percent-encoded
    twin = name + "\u5bc6"
    env_site.db[name].insert_one({"_id": 1})
    env_site.db[twin].insert_one({"_id": 2})

    manifest = write(env_site, "db_backup", tmp_path / "backup").values["manifest"]
    again = write(env_site, "db_backup", tmp_path / "backup")

    folder = tmp_path / "backup" / env_site.name
    told = {
        metadata["collectionName"]: path.name.removesuffix(".metadata.json")
        for path in folder.glob("*.metadata.json")
        if (metadata := json.loads(path.read_text()))
    }
    assert not again.changed
    for collection, identifier in ((name, 1), (twin, 2)):
        assert len(told[collection]) == 238
        assert bson.decode((folder / f"{told[collection]}.bson").read_bytes()) == {"_id": identifier}
        assert manifest["collections"][collection]["file"] == f"{told[collection]}.bson"


def die(site, verb, dest, moment, at):
    """Run the verb in a process that kills itself at that moment; it must really have died there."""
    options = {"dest": str(dest), **{name: list(value) for name, value in WRITERS[verb].items()}}
    order = {
        "params": {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)},
        "verb": verb, "options": options, "fail_point": moment, "at": at, "constants": {},
    }  # fmt: skip
    line = [sys.executable, str(DYING)]
    died = subprocess.run(line, input=json.dumps(order), text=True, capture_output=True, check=False)
    assert died.returncode == -9, died.stderr


def left_in(*folders):
    return [path for folder in folders if folder.exists() for path in unfinished.left_in(folder)]


@pytest.mark.parametrize("there", [False, True], ids=["new dest", "existing dest"])
@pytest.mark.parametrize(
    ("verb", "moment"),
    [("db_backup", "dump_collection"), ("db_backup", "write_backup_manifest"), ("data_export", "write_bundle")],
)
def test_x27_what_a_killed_run_left_of_the_data_is_gone_after_the_next_one(env_site, tmp_path, verb, moment, there):
    dest = tmp_path / "dest"
    if there:
        dest.mkdir()
    die(env_site, verb, dest, moment, "after")
    left = left_in(tmp_path, dest)

    done = write(env_site, verb, dest)

    assert (len(left), left_in(tmp_path, dest), done.changed) == (1, [], True)
    assert not write(env_site, verb, dest).changed


def test_x27_a_backup_killed_between_its_data_and_its_manifest_is_finished_by_the_next_run(env_site, tmp_path):
    dest = tmp_path / "dest"
    dest.mkdir()
    die(env_site, "db_backup", dest, "put_in_place", "before")
    (left,) = left_in(dest)
    (left / env_site.name).replace(dest / env_site.name)  # the first of the two moves

    done = write(env_site, "db_backup", dest)

    assert (done.changed, left_in(dest)) == (False, [])
    backup_manifest.require_whole(dest, done.values["manifest"])
