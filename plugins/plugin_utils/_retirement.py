# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps an old installation from being retired: five conditions, two more before its database is dropped. Pure.

Facts come from modules that looked just now. What nobody could look at counts as missing.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from ._report_parts import count, items, part, parts, word

Missing = dict[str, str]
DAY_S = 86_400


def retirement_missing(facts: Mapping[str, object]) -> list[Missing]:
    """Return {code, msg, hint} of each condition that does not hold, in the order of the guide; empty: all hold."""
    found = [_proof(facts), _backup(facts), _grace(facts), _confirmation(facts), _only_key(facts)]
    if facts.get("drop") is True:
        found += [_drop_confirmation(facts), _off_host(facts)]
    return [one for one in found if one is not None]


def known_as(lock: Mapping[str, object]) -> str:
    """Return what bundles and imports call an installation: its id, or the time of a lock that has none."""
    return word(lock, "install_id") or f"foreign-{word(lock, 'installed_at')}"


def _missing(code: str, msg: str, hint: str) -> Missing:
    return {"code": code, "msg": msg, "hint": hint}


def _proof(facts: Mapping[str, object]) -> Missing | None:
    """1. The migration was accepted, every record of it proven equal; the source rests since, the destination lives."""
    why = _unproven(facts)
    if not why:
        return None
    return _missing(
        "retire.no_proof",
        f"{why}, expected the proof that everything is at the destination and that only it serves",
        "run the playbook migrate to its end; the report may be copied back to where it was, or left out of the proof "
        "by an empty retire_old_install_report",
    )


def _unproven(facts: Mapping[str, object]) -> str:
    source, migration, report = known_as(part(facts, "lock")), part(facts, "migration"), part(facts, "report")
    accepted_at, beat = word(migration, "updated_at"), word(facts, "newest_heartbeat")
    if word(migration, "source_install_id") != source or word(migration, "state") != "accepted":
        found = f"{word(migration, 'state') or 'none'} from {word(migration, 'source_install_id') or 'nobody'}"
        return f"the destination's import is {found}, and the old installation is {source}"
    if beat and beat > accepted_at:
        return f"the old installation wrote a heartbeat at {beat}, after the acceptance at {accepted_at}"
    if count(facts, "destination_live") < 1:
        return "no process of the destination lives"
    if not word(facts, "report_path"):
        return ""
    if not report:
        return f"there is no report {word(facts, 'report_path')} on the destination"
    proven = (word(report, "kind"), count(report, "lost"), count(report, "equal"), known_as(part(report, "from")))
    if proven != ("migration", 0, count(report, "records"), source):
        return (
            f"the report {word(facts, 'report_path')} is of a {proven[0] or 'nothing'} from {proven[3]} with "
            f"{proven[2]} of {count(report, 'records')} records equal and {proven[1]} lost"
        )
    return ""


def _backup(facts: Mapping[str, object]) -> Missing | None:
    """2. A backup whose digests hold, whose every envelope opened, and which has the records as they are now."""
    backup, path, why = part(facts, "backup"), word(facts, "backup_path"), ""
    told = part(backup, "backup")
    if not path:
        why = "no backup was named"
    elif not told:
        why = f"the backup {path} does not hold: {word(backup, 'msg') or 'it could not be looked at'}"
    elif word(told, "install_id") != word(facts, "lock", "install_id"):
        why = f"the backup {path} is of installation {word(told, 'install_id') or 'unknown'}"
    elif facts.get("done") is not True and backup.get("opened") is None:
        why = f"the envelopes in the backup {path} were not opened"
    elif backup.get("of_now") is False:
        why = f"the backup {path} of {word(told, 'created_at')} has not the records that the old database has now"
    if not why:
        return None
    return _missing(
        "retire.no_backup",
        f"{why}, expected one of the old installation as it is, whole and opened",
        "make one now, because the old installation is stopped: db_backup on its first host into a new folder with "
        "your recipients, and give that as retire_old_install_backup; retire_old_install_identity_file opens what is "
        "encrypted",
    )


def _grace(facts: Mapping[str, object]) -> Missing | None:
    """3. So many days since the acceptance, by the clock of the destination's database."""
    accepted_at, now, days = word(facts, "migration", "updated_at"), word(facts, "now"), _number(facts, "grace_days")
    try:
        passed = (datetime.fromisoformat(now) - datetime.fromisoformat(accepted_at)).total_seconds() / DAY_S
    except ValueError:
        return _missing(
            "retire.grace",
            f"the migration was accepted at {accepted_at or 'no known time'}, and it is {now or 'unknown'}, expected "
            "two times",
            "see what kek_info says of the destination's migration",
        )
    if passed >= days:
        return None
    return _missing(
        "retire.grace",
        f"{passed:.1f} days have passed since the migration was accepted at {accepted_at}, expected {days:g}",
        "wait, or set retire_old_install_grace_days lower where nobody will want to go back",
    )


def _confirmation(facts: Mapping[str, object]) -> Missing | None:
    """4. Somebody typed which installation goes."""
    typed, wanted = word(facts, "confirm"), {known_as(part(facts, "lock")), word(facts, "database")} - {""}
    if typed in wanted:
        return None
    return _missing(
        "retire.unconfirmed",
        f'retire_old_install_confirm is "{typed}", expected the id of the old installation or the name of its database '
        f"({' or '.join(sorted(wanted))})",
        "give it by -e retire_old_install_confirm=…, not in a file: it says that somebody means this installation now",
    )


def _only_key(facts: Mapping[str, object]) -> Missing | None:
    """5. Each key that a known backup needs is somewhere else as well, and was used there."""
    if facts.get("done") is True:
        return None
    looked = [(word(facts, "backup_path"), part(facts, "backup"))]
    looked += [(word(one, word(one, "ansible_loop_var")), one) for one in parts(facts, "known")]
    # A version has one key for as long as the installation exists: what one backup keeps opens the others as well.
    held = {version for _path, found in looked for version, places in part(found, "keys").items() if places}
    alone = [f"{path} needs {why}" for path, found in looked if path and (why := _needs_alone(found, held))]
    if not alone:
        return None
    return _missing(
        "retire.only_key",
        f"{'; '.join(alone)}, whose key was found nowhere but in the old installation's own files, expected each key "
        "to be elsewhere too",
        "give retire_old_install_identity_file, which opens the secrets file in a backup, or as "
        "retire_old_install_escrow_file a copy of secrets.env that stays; or remove backups that nobody needs",
    )


def _needs_alone(found: Mapping[str, object], held: Set[str]) -> str:
    """Return which keys of a backup are nowhere else; "" for none."""
    if not part(found, "backup") or found.get("only_here") is None:
        return f"a key that could not be looked for ({word(found, 'msg') or 'it was not opened'})"
    alone = [str(version) for version in items(found, "only_here") if str(version) not in held]
    return f"KEK version {', '.join(alone)}" if alone else ""


def _drop_confirmation(facts: Mapping[str, object]) -> Missing | None:
    """6. The name of the database that is dropped was typed as well."""
    typed, wanted = word(facts, "drop_confirm"), word(facts, "database")
    if typed == wanted != "":
        return None
    return _missing(
        "retire.drop_unconfirmed",
        f'retire_old_install_drop_confirm is "{typed}", expected the name of the database that is dropped, "{wanted}"',
        "type it as -e retire_old_install_drop_confirm=…, or leave retire_old_install_drop_database out",
    )


def _off_host(facts: Mapping[str, object]) -> Missing | None:
    """7. A whole copy of that very backup is on another machine."""
    told = part(facts, "off_host")
    why = word(told, "why") if "why" in told else "no copy on another machine was looked at"
    if not why:
        return None
    return _missing(
        "retire.not_off_host",
        f"{why}, expected a whole copy of the backup on another machine before its database is dropped",
        "copy the folder of the backup to another machine, and name both by retire_old_install_off_host and "
        "retire_old_install_off_host_backup",
    )


def off_host_copy(facts: Mapping[str, object]) -> str:
    """Return why a copy does not count; "" for one that does.

    facts: path, host, here and there (ids of both machines), manifest_sha256 of the backup and of the copy's
    backup.json, files (path -> SHA-256 that it must have), found (path -> SHA-256 that it has).
    """
    path, host = word(facts, "path"), word(facts, "host")
    if not path:
        return "no copy on another machine was named"
    here, there = word(facts, "here").strip(), word(facts, "there").strip()
    if not here or not there or here == there:
        return f"{host} is the machine of the old installation, or that is not known ({there or 'no machine id'})"
    if not word(facts, "manifest_sha256") or word(facts, "manifest_sha256") != word(facts, "copy_sha256"):
        return f"{path} on {host} is not a copy of the backup that was checked"
    wanted, found = part(facts, "files"), part(facts, "found")
    bad = sorted(name for name in wanted if word(found, name) != word(wanted, name))
    if not wanted:
        return "the backup does not tell the digests of its files, because an early release made it"
    return f"{path} on {host} is damaged: {bad[0]} is not what was written" if bad else ""


def backups_of(manifests: Sequence[object], install_id: str | None) -> list[str]:
    """Return the folders of the backups of an installation. manifests: results of slurp, each of one backup.json."""
    found = []
    for one in manifests:
        try:
            told = json.loads(base64.b64decode(word(one, "content")))
        except ValueError:
            continue
        if isinstance(told, Mapping) and told.get("install_id") == install_id and "kek_versions" in told:
            found.append(posixpath.dirname(word(one, "source")))
    return sorted(found)


def _number(facts: Mapping[str, object], name: str) -> float:
    try:
        return float(str(facts.get(name)))
    except ValueError:
        return float("inf")
