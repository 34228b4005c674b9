# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets_archive: the file goes only once an archive of it that opens is there."""

from __future__ import annotations

import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._store import private_files
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import secrets_archive

TEXT = "CERTAUTOPILOT_JWT_SECRET=not-to-be-lost\n"


@pytest.fixture
def identity():
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def options(tmp_path, identity):
    src = tmp_path / "secrets.env"
    src.touch(mode=0o600)
    src.write_text(TEXT)
    to = (str(identity.to_public()),)
    return {"src": str(src), "dest": str(tmp_path / "archive"), "name": "old1.example.com", "recipients": to}


def call(options, *, check=False):
    return secrets_archive.run(Settings(), secrets_archive.Options(**options), check=check, warn=print)


def test_check_leaves_it_a_run_archives_it_and_a_second_changes_nothing(tmp_path, options, identity):
    checked = call(options, check=True)
    kept = (tmp_path / "secrets.env").read_text()
    done = call(options)
    again = call(options)

    (archive,) = (tmp_path / "archive").iterdir()
    assert (checked.changed, done.changed, again.changed) == (True, True, False)
    assert (kept, (tmp_path / "secrets.env").exists()) == (TEXT, False)
    assert pyrage.decrypt(archive.read_bytes(), [identity]).decode() == TEXT
    assert (archive.stat().st_mode & 0o777, archive.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert again.values["archived"]["archives"] == [str(archive)]


def test_an_archive_that_does_not_read_back_costs_nothing(tmp_path, options, monkeypatch):
    monkeypatch.setattr(private_files, "file_sha256", lambda *_path, **_uid: "another")

    with pytest.raises(OpsError) as refusal:
        call(options)

    assert refusal.value.code == "archive.damaged"
    assert (tmp_path / "secrets.env").read_text() == TEXT


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"recipients": ()}, "archive.options"),
        ({"name": "../x"}, "archive.options"),
        ({"recipients": ("age1nobody",)}, "bundle.recipient_invalid"),
    ],
)
def test_without_somebody_who_can_open_it_it_stays(tmp_path, options, changed, code):
    with pytest.raises(OpsError) as refusal:
        call({**options, **changed})

    assert refusal.value.code == code
    assert (tmp_path / "secrets.env").read_text() == TEXT
    assert not (tmp_path / "archive").exists()


def test_a_secrets_file_that_others_may_read_is_refused_as_everywhere(tmp_path, options):
    (tmp_path / "secrets.env").chmod(0o644)

    with pytest.raises(OpsError) as refusal:
        call(options)

    assert refusal.value.code == "file.permissions"
