# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_backup_check on a real server and token: what is damaged or not of now, and where keys are."""

from __future__ import annotations

import hashlib
import json

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps import backup_manifest


@pytest.fixture
def identity(tmp_path):
    """An age identity in a private file: (path, recipient)."""
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity"
    path.touch(mode=0o600)
    path.write_text(f"{made}\n")
    return path, str(made.to_public())


def private(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def backed_up(site, folder, **options):
    site.call("db_backup", dest=str(folder), **options)
    return folder


def checked(site, folder, **options):
    return site.call("db_backup_check", src=str(folder), **options).values


def refused(site, folder, **options):
    with pytest.raises(OpsError) as refusal:
        checked(site, folder, **options)
    return refusal.value


def test_a_backup_is_whole_opens_and_its_only_key_is_said_to_be_here(env_site, tmp_path):
    before = env_site.documents()

    found = checked(env_site, backed_up(env_site, tmp_path / "backup"))

    assert (found["opened"], found["of_now"]) == (12, True)
    assert (found["keys"], found["only_here"]) == ({"1": []}, [1])
    assert found["backup"]["install_id"] == env_site.db.kek_install.find_one()["install_id"]
    assert env_site.documents() == before


def test_a_backup_of_an_earlier_state_opens_and_is_not_of_now(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    env_site.db.zones.insert_one({"_id": 100})

    found = checked(env_site, folder)

    assert (found["opened"], found["of_now"]) == (12, False)


def test_the_key_in_the_backups_own_secrets_counts_once_it_was_opened(env_site, tmp_path, identity):
    path, recipient = identity
    folder = backed_up(env_site, tmp_path / "backup", recipients=(recipient,))

    closed = checked(env_site, folder)
    opened = checked(env_site, folder, identity_file=str(path))

    assert closed["only_here"] == [1]  # nobody looked into it
    assert (opened["keys"], opened["only_here"]) == ({"1": ["backup"]}, [])


def test_a_backup_that_is_encrypted_as_a_whole_is_checked_with_the_identity(env_site, tmp_path, identity):
    path, recipient = identity
    folder = backed_up(env_site, tmp_path / "backup", recipients=(recipient,), encrypt="all", keep_config=True)

    found = checked(env_site, folder, identity_file=str(path))

    assert (found["opened"], found["only_here"], found["backup"]["encrypted"]) == (12, [], True)


def test_a_copy_kept_elsewhere_counts_if_it_has_the_key_and_not_if_it_has_another(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    right = private(tmp_path / "right", env_site.secrets_file.read_text())
    wrong = private(tmp_path / "wrong", f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1={'ab' * 32}\n")

    assert checked(env_site, folder, escrow_file=str(right))["keys"] == {"1": ["escrow"]}
    assert checked(env_site, folder, escrow_file=str(wrong))["only_here"] == [1]


def test_of_a_foreign_keystore_without_canary_the_copy_counts_by_the_check_value(env_site, tmp_path):
    env_site.db.kek_versions.update_one({"_id": 1}, {"$unset": {"canary": 1}})
    folder = backed_up(env_site, tmp_path / "backup")
    right = private(tmp_path / "right", env_site.secrets_file.read_text())
    wrong = private(tmp_path / "wrong", f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1={'ab' * 32}\n")

    assert checked(env_site, folder, escrow_file=str(right))["only_here"] == []
    assert checked(env_site, folder, escrow_file=str(wrong))["only_here"] == [1]


def test_the_installations_own_file_is_no_copy_kept_elsewhere(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    (tmp_path / "link").hardlink_to(env_site.secrets_file)

    assert refused(env_site, folder, escrow_file=str(tmp_path / "link")).code == "backup.escrow_is_secrets_file"


def test_a_key_in_a_token_is_in_the_token(env_site, hsm_site, tmp_path, identity):
    path, recipient = identity
    hsm_site.call("kek_pkcs11_init", version=1)
    env_site.call("data_export", dest=str(tmp_path / "bundle"), recipients=(recipient,))
    hsm_site.call("data_import", src=str(tmp_path / "bundle"), identity_file=str(path))

    found = checked(hsm_site, backed_up(hsm_site, tmp_path / "backup"))

    assert (found["opened"], found["only_here"]) == (12, [])
    assert found["keys"] == {"1": ["token"]}


@pytest.mark.parametrize("fault", ["flipped", "gone", "added"])
def test_a_file_that_is_not_what_was_written_is_named(env_site, tmp_path, fault):
    folder = backed_up(env_site, tmp_path / "backup")
    victim = folder / env_site.name / "zones.bson"
    if fault == "flipped":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif fault == "gone":
        victim.unlink()
    else:
        victim = private(folder / env_site.name / "more.bson", "")

    for opened in (True, False):
        failure = refused(env_site, folder, opened=opened)
        assert (failure.code, victim.name in failure.message) == ("backup.damaged", True)


def test_a_backup_that_the_installations_key_does_not_open_is_refused(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    env_site.add_kek(1)
    env_site.write()

    assert refused(env_site, folder).code == "key.wrong"


def test_an_envelope_in_it_that_does_not_open_is_named(env_site, tmp_path):
    """db_backup makes no such backup: this one was altered by somebody who knew to put its digests right again."""
    folder = backed_up(env_site, tmp_path / "backup")
    victim = folder / env_site.name / "dns_credentials.bson"
    content = bson.decode_all(victim.read_bytes())
    sealed = content[0]["encrypted_api_key"]
    sealed["ciphertext"] = bytes(byte ^ 1 for byte in sealed["ciphertext"])
    victim.write_bytes(b"".join(map(bson.encode, content)))
    manifest = json.loads((folder / "backup.json").read_text())
    manifest["collections"]["dns_credentials"]["sha256"] = hashlib.sha256(victim.read_bytes()).hexdigest()
    manifest["files"][f"{env_site.name}/dns_credentials.bson"] = hashlib.sha256(victim.read_bytes()).hexdigest()
    (folder / "backup.json").unlink()
    backup_manifest.write(folder, backup_manifest.signed(manifest))

    assert refused(env_site, folder).code == "record.unreadable"


def test_another_installations_backup_is_refused_and_so_is_a_folder_that_is_none(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    (tmp_path / "empty").mkdir()

    assert refused(env_site, folder, install_id="0" * 32).code == "backup.other_installation"
    assert refused(env_site, tmp_path / "empty").code == "backup.not_ours"
    assert refused(env_site, tmp_path / "missing").code == "backup.not_ours"
    assert refused(env_site, folder, manifest_sha256="0" * 64).code == "restore.not_this_backup"


def test_digests_alone_need_neither_database_nor_key(env_site, tmp_path, new_site):
    folder = backed_up(env_site, tmp_path / "backup")
    told = json.loads((folder / "backup.json").read_text())

    nothing = {"config_file": "/dev/null", "secrets_file": "/dev/null"}
    found = new_site().call("db_backup_check", src=str(folder), opened=False, overrides=nothing).values

    assert (found["opened"], found["of_now"], found["only_here"]) == (None, None, None)
    assert found["backup"]["source_digest"] == told["source_digest"]


def test_of_a_database_that_is_gone_it_is_not_said_whether_it_is_the_same(env_site, tmp_path):
    folder = backed_up(env_site, tmp_path / "backup")
    env_site.client.drop_database(env_site.name)

    found = checked(env_site, folder)

    assert (found["opened"], found["of_now"]) == (12, None)
