# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an example finds when it is run, and what is seen on its hosts before that: the check must leave it as it is."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyrage
import yaml

from tests.support.hosts.hosts import SHARED

from .plays import EXAMPLES
from .sides import CONFIG, PIN, RECORDS, SECRETS, Sides, written

PLAYBOOKS = (
    "fresh_install", "migrate", "rotate",
    "export_certificates", "recover_certificate", "retire_old_install", "rollback", "status",
)  # fmt: skip
TOKENS = "/var/lib/softhsm/tokens"
SOURCES = {  # provider of what is migrated
    "migrate_env_to_pkcs11": "env",
    "migrate_pkcs11_to_env": "pkcs11",
    "migrate_pkcs11_to_other_token": "pkcs11",
}
NEED_A_TOKEN = ("fresh_install_pkcs11", "migrate_env_to_pkcs11", "migrate_pkcs11_to_other_token")
# Where a playbook could write, and what is written there by the hosts themselves.
PLACES = "/etc/certautopilot /etc/ansible /etc/systemd/system /var/lib /var/backups /var/log /opt"
# WHY softhsm: SoftHSM2 writes to a token's files at every login; its objects are counted instead.
PASSING = "journal|samples|wtmp|lastlog|lib/systemd|softhsm"
MARK = "/var/tmp/before"
BACKUP, IDENTITY = "/var/backups/certautopilot/last", "/etc/certautopilot/backup-identity"
# A line of secrets.env, or the only line of a PIN file.
A_SECRET = re.compile(r"^(?:\w*(?:KEK|PEPPER|SECRET|PIN)\w*=)?[\"']?([\w+/=-]{12,})[\"']?$", re.MULTILINE)


def groups_of(example: str) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each group of an example's inventory, in its order."""
    inventory = yaml.safe_load((EXAMPLES / example / "inventory.yml").read_text(encoding="utf-8"))
    groups = inventory["all"]["children"] if "all" in inventory else inventory
    return {group: tuple(content["hosts"]) for group, content in groups.items()}


def hosts_of(example: str) -> tuple[str, ...]:
    return tuple(host for hosts in groups_of(example).values() for host in hosts)


def playbook_of(example: str) -> str:
    return next(playbook for playbook in PLAYBOOKS if example.startswith(playbook))


def prepare(sides: Sides, example: str) -> None:
    """Make what is there before the example: a token, an installation with records. A fresh host gets nothing else."""
    groups = groups_of(example)
    if example in SOURCES:
        sides.clear()
        sides.install(SOURCES[example], *groups["source"])
    if example in NEED_A_TOKEN:
        sides.token(groups.get("destination", groups.get("certautopilot", ()))[0])
    if playbook_of(example) == "rotate":
        sides.clear()
        one_hsm(sides, groups["certautopilot"])
    if example in ("export_certificates", "recover_certificate"):
        sides.clear()
        sides.install("env", *groups["certautopilot"])
    if example == "recover_certificate":
        forget(sides, groups["certautopilot"][0])
    if playbook_of(example) == "status":
        sides.clear()
        sides.install("env", *groups["certautopilot"])
    if playbook_of(example) in ("retire_old_install", "rollback"):
        migrated(sides, example)
    if playbook_of(example) == "retire_old_install":
        weeks_later(sides, example)


def forget(sides: Sides, host: str) -> None:
    """Keep a copy of the database and of its files as the old ones, then delete one certificate and its key.

    What the oracle opened before is noted: it is what must be there again.
    """
    (sides.folder / "whole.json").write_text(json.dumps(opened(sides, host)), encoding="utf-8")
    old, name = "/root/old", "{'certautopilot': client.certautopilot, 'old': client.certautopilot_old}"
    copied = (
        "[d['old'][n].insert_many(list(d['certautopilot'][n].find())) for d in [DBS] "
        "for n in d['certautopilot'].list_collection_names() if d['certautopilot'][n].find_one()]"
    )
    sides.database(copied.replace("DBS", name))
    kept = f"install -d -m 0700 {old} && cp {CONFIG} {SECRETS} {old}/ && chmod 600 {old}/* && chown root:root {old}/*"
    renamed = f"""sed -i 's/name: "certautopilot"$/name: "certautopilot_old"/' {old}/config.yaml"""
    sides.hosts.run(host, ["sh", "-c", f"{kept} && {renamed} && grep -q _old {old}/config.yaml"])
    deleted = (
        "[(db.certificate_private_keys.delete_many({'certificate_id': c['_id']}), db.certificates.delete_one(c)) "
        "for db in [client.certautopilot] for c in list(db.certificates.find({'name': 'svc-1.example.com'}))]"
    )
    sides.database(deleted)


def migrated(sides: Sides, example: str) -> None:
    """Make what is there after a migration by the example's own inventory, and let the destination write something."""
    groups = groups_of(example)
    sides.clear()
    sides.install("env", *groups["source"])
    done = sides.play(example)
    assert done.status == 0, done.output[-4000:]
    sides.write(groups["destination"][0])


def weeks_later(sides: Sides, example: str) -> None:
    """Back the old installation up as the example says, and let three weeks pass in both databases."""
    old = groups_of(example)["source"][0]
    identity = pyrage.x25519.Identity.generate()
    sides.hosts.put(old, IDENTITY, f"{identity}\n", owner="certautopilot:certautopilot")
    options = {"dest": BACKUP, "recipients": [str(identity.to_public())], "service_user": "certautopilot"}
    sides.module(example, old, "db_backup", options)
    past = "datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=21)"
    accepted = f"client.certautopilot_env.kek_imports.update_many({{}}, {{'$set': {{'updated_at': {past}}}}})"
    beats = "client.certautopilot.process_heartbeats.delete_many({})"
    sides.database(f"({accepted}, {beats})")


def one_hsm(sides: Sides, nodes: tuple[str, ...]) -> None:
    """Make one installation of several nodes and one HSM: a token whose files all of them see."""
    for host in nodes:
        shared = f"install -d -o certautopilot -g certautopilot -m 0700 {SHARED}/tokens"
        sides.hosts.run(host, ["sh", "-c", f"{shared} && mount --bind {SHARED}/tokens {TOKENS}"])
    sides.token(nodes[0])
    for host in nodes[1:]:
        sides.hosts.put(host, PIN, sides.pins[0])
    inventory = yaml.safe_load((EXAMPLES / "rotate_fleet" / "inventory.yml").read_text(encoding="utf-8"))
    pkcs11 = (EXAMPLES / "fresh_install_pkcs11" / "group_vars" / "certautopilot.yml").read_text(encoding="utf-8")
    folder = written(sides.folder / "fresh", inventory, certautopilot=yaml.safe_load(pkcs11))
    made = sides.play(folder, playbook="fresh_install")
    assert made.status == 0, made.output[-4000:]
    sides.seed(nodes[0])


def restored_elsewhere(sides: Sides, example: str, old: str, new: str) -> dict[str, Any]:
    """Restore the backup on a host that never had its key, with nothing but the folder and the identity; compare."""
    folder, packed = "/var/tmp/restored", "tar --create --gzip --directory {} . | base64 --wrap=0"
    carried = sides.hosts.run(old, ["sh", "-c", packed.format(BACKUP)]).stdout
    unpack = f"rm -rf {folder}; mkdir -m 0700 {folder}; base64 --decode | tar --extract --gzip --directory {folder}"
    sides.hosts.run(new, ["sh", "-c", f"{unpack}; chown -R root:root {folder}"], given=carried)
    identity = pyrage.x25519.Identity.from_str(sides.hosts.read(old, IDENTITY).strip())
    sealed = sides.hosts.run(new, ["base64", "--wrap=0", f"{folder}/secrets.env.age"]).stdout
    files = {"config_file": "/etc/certautopilot/restored.yaml", "secrets_file": "/etc/certautopilot/restored.env"}
    config = yaml.safe_load(sides.hosts.read(old, CONFIG))
    config["database"]["name"] = "certautopilot_restored"
    sides.hosts.put(new, files["config_file"], yaml.safe_dump(config), owner="certautopilot:certautopilot")
    opened_secrets = pyrage.decrypt(base64.b64decode(sealed), [identity]).decode()
    sides.hosts.put(new, files["secrets_file"], opened_secrets, owner="certautopilot:certautopilot")
    sides.module(example, new, "db_restore", {"src": folder, "service_user": "certautopilot", **files})
    there, here = opened(sides, new, *files.values()), opened(sides, old)
    return {
        "envelopes": sum(len(made) for _stays, made in there.values()) // 4,
        "differ": sorted(place for place in {*there, *here} if there.get(place) != here.get(place)),
    }


# --- what is seen, before and after ---------------------------------------------------------------------------------


def mark(sides: Sides, hosts: tuple[str, ...]) -> None:
    """Let what is written from now on be told from what was there."""
    for host in hosts:
        sides.hosts.run(host, ["touch", MARK])


def seen(sides: Sides, hosts: tuple[str, ...]) -> dict[str, Any]:
    """Return what a playbook could change: files written since `mark`, keys, services, versions in databases."""
    find = f"find {PLACES} -newer {MARK} -type f 2>/dev/null | grep -Ev '{PASSING}'"
    keys = f"find {TOKENS} -name '*.object' | wc -l"
    versions = "{name: sorted(str(row['_id']) for row in client[name].kek_versions.find()) for name in names}"
    names = "[name for name in sorted(client.list_database_names()) if name.startswith('certauto')]"
    return {
        "files": [sides.hosts.run(host, ["sh", "-c", find], check=False).stdout for host in hosts],
        "keys": [sides.hosts.run(host, ["sh", "-c", keys]).stdout.strip() for host in hosts],
        "services": sides.states(*hosts),
        "versions": sides.database(f"[{versions} for names in [{names}]]"),
    }


def opened(sides: Sides, host: str, config: str = CONFIG, secrets_file: str = SECRETS) -> dict[str, Any]:
    """Return what the oracle opens on a node: place -> (hash of what stays, hashes of what a rotation makes anew)."""
    asked = ("list", "--source", config, secrets_file)
    found: dict[str, Any] = json.loads(sides.program(host, "tests.support.oracle", *asked))
    return found


def secrets_on(sides: Sides, hosts: tuple[str, ...]) -> set[str]:
    """Return every value on the hosts that nothing may print: KEKs, pepper, JWT secret, PINs."""
    values = set()
    for host in hosts:
        text = sides.hosts.run(host, ["sh", "-c", f"cat {SECRETS} {PIN} 2>/dev/null; true"]).stdout
        values |= set(
            re.findall(r"^(?:\w*(?:KEK|PEPPER|SECRET|PIN)\w*=)?[\"']?([\w+/=-]{12,})[\"']?$", text, re.MULTILINE)
        )
    return values


def only_the_destination_serves(sides: Sides, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Assert it: now, at every time of the run, and after a boot of all hosts; and that every record arrived."""
    apart = ["inactive disabled retired"] * len(old) + ["active enabled"] * len(new)
    assert sides.states(*old, *new) == apart
    assert sides.switches(*old) == []
    found = sides.compared(old[0], new[0])
    assert (found["differ"], found["reused"]) == ([], 0)
    assert found["records"] >= RECORDS
    assert found["envelopes"] > RECORDS / 4
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, (*old, *new)))
    assert [sides.healthy(host) for host in new] == [True] * len(new)
    assert sides.states(*old, *new) == apart
    assert sides.both_served(old, new) == []
