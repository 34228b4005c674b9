# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no file of ours is refused by its name, at once, and by every reader of files that hold or decide secrets."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.bundle_trust import Trust
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import backup_manifest, dump
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.checked_bundle import checked
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration
from ansible_collections.certautopilot.ops.plugins.module_utils._store import opener, private_files
from ansible_collections.certautopilot.ops.plugins.module_utils._store.age_keys import identity_from
from ansible_collections.certautopilot.ops.plugins.module_utils._store.bundle import RecordsFile

SERVICE = 65533  # a uid of nobody here
FOREIGN = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


def setting(option):
    def read(path):
        configuration.settings_from({option: str(path)}, environment={}, warn=print)

    return read


def bundle(path):
    with checked(path.parent, path.parent / "identity", Trust("bundle", "")):
        pass


# name of the file -> its reader
READERS = {
    "config.yaml": setting("config_file"),
    "secrets.env": setting("secrets_file"),
    "uri": setting("mongodb_uri_file"),
    "pin": setting("pkcs11_pin_file"),
    "identity.txt": identity_from,
    "passphrase": private_files.read_private,
    "manifest.json": bundle,
    "records.age": lambda path: RecordsFile(path).close(),
    "backup.json": lambda path: backup_manifest.read(path.parent),
    "users.bson": lambda path: dump.read_back(path, lambda _raw: None),
}
EVERY_READER = pytest.mark.parametrize("name", READERS)


@pytest.fixture(autouse=True)
def no_hanging():
    """End a test that waits for a writer of a FIFO: it would wait for ever."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(10)
    yield
    signal.alarm(0)


def refusal(name, path):
    with pytest.raises(OpsError) as refused:
        READERS[name](path)
    assert str(path) in refused.value.message
    return refused.value


def put(path, content=b"A=1\n", mode=0o600):
    path.touch(mode=0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def a_link(path):
    path.symlink_to(put(path.with_name("target")))


def a_dangling_link(path):
    path.symlink_to(path.with_name("nothing"))


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def a_device(path):
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))


@EVERY_READER
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (a_link, "a link"),
        (a_dangling_link, "a link"),
        (a_socket, "a socket"),
        (Path.mkdir, "a folder"),
        pytest.param(a_device, "a device", marks=AS_ROOT),
    ],
    ids=["fifo", "link", "dangling", "socket", "folder", "device"],
)
def test_x25_what_is_no_file_is_refused_by_its_kind_and_nobody_waits_for_it(tmp_path, name, make, kind):
    path = tmp_path / name
    make(path)

    refused = refusal(name, path)

    assert (refused.code, kind in refused.message) == ("file.kind", True)


@AS_ROOT
@EVERY_READER
def test_x24_a_file_of_a_foreign_owner_is_refused_whatever_its_mode(tmp_path, name):
    path = put(tmp_path / name)
    os.chown(path, FOREIGN, FOREIGN)

    refused = refusal(name, path)

    assert (refused.code, str(FOREIGN) in refused.message) == ("file.owner", True)
    assert "service_user" in refused.hint


@EVERY_READER
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_x24_a_file_that_others_may_write_is_refused(tmp_path, name, mode):
    assert refusal(name, put(tmp_path / name, mode=mode)).code == "file.permissions"


def test_x24_config_yaml_may_be_read_by_others(tmp_path):
    path = put(tmp_path / "config.yaml", b"database: {name: cap}\n", mode=0o644)

    settings = configuration.settings_from({"config_file": str(path)}, environment={}, warn=print)

    assert settings.values["mongodb_database"] == "cap"


@AS_ROOT
def test_x24_the_services_user_is_trusted_when_it_is_named_and_nobody_else_is(tmp_path):
    path = put(tmp_path / "pin", b"7531-7531\n")
    os.chown(path, SERVICE, SERVICE)

    assert private_files.read_private(path, service_uid=SERVICE) == b"7531-7531"
    os.chown(path, FOREIGN, FOREIGN)
    with pytest.raises(OpsError) as refused:
        private_files.read_private(path, service_uid=SERVICE)
    assert refused.value.code == "file.owner"


def test_a_service_user_that_is_none_here_is_refused():
    with pytest.raises(OpsError) as refused:
        opener.uid_of("no-such-user-here")
    assert (opener.uid_of(""), opener.uid_of("root"), refused.value.code) == (None, 0, "settings.unknown_user")


def test_x24_what_is_read_is_what_was_judged_though_the_path_leads_elsewhere_meanwhile(tmp_path):
    path = put(tmp_path / "pin", b"judged")

    with opener.open_trusted(path, private=True) as raw:
        path.unlink()
        path.symlink_to(put(tmp_path / "other", b"planted"))
        content = raw.read()

    assert content == b"judged"


def test_no_descriptor_is_left_open_by_a_refusal(tmp_path):
    path = put(tmp_path / "pin", mode=0o666)
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _number in range(20):
        with pytest.raises(OpsError):
            opener.open_trusted(path, private=True)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o703, 0o775])
def test_x24_a_folder_into_which_others_may_write_is_refused_and_nothing_is_made_in_it(tmp_path, mode):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(OpsError) as refused:
        private_files.private_folder(folder)
    with pytest.raises(OpsError) as not_written:
        private_files.write_private(folder / "key.pem", b"key")

    assert (refused.value.code, not_written.value.code) == ("file.permissions", "file.permissions")
    assert list(folder.iterdir()) == []


def test_x24_a_folder_like_tmp_takes_files_but_is_no_folder_of_ours(tmp_path):
    folder = tmp_path / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)

    private_files.write_private(folder / "identity", b"key")
    with pytest.raises(OpsError) as refused:
        private_files.private_folder(folder)

    assert (folder / "identity").read_bytes() == b"key"
    assert refused.value.code == "file.permissions"


@AS_ROOT
def test_x24_a_folder_of_a_foreign_owner_is_refused(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, FOREIGN, FOREIGN)

    with pytest.raises(OpsError) as refused:
        private_files.private_folder(folder)

    assert refused.value.code == "file.owner"


def test_folders_that_are_made_are_closed_to_others_whatever_the_umask_says(tmp_path):
    before = os.umask(0)
    try:
        private_files.private_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)

    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o700]


def test_x24_a_planted_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    victim = put(tmp_path / "victim", b"theirs")
    planted = tmp_path / "key.pem"
    planted.symlink_to(victim)

    private_files.write_private(planted, b"ours")

    assert (victim.read_bytes(), planted.is_symlink(), planted.read_bytes()) == (b"theirs", False, b"ours")
