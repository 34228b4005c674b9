# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a migration as its role hands them to the report, and what a reader makes of a page."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)> \'quoted\' & "doubly"',
    "\x1b[31mred\x1b[0m\x07 and \u202edetrevni\u202c \u200bunseen",
    "{{ lookup('env', 'HOME') }} {% raw %} {# comment #} ${HOME} `id`",
)
STAGES = {
    "backup": "2026-05-01T20:10:04.120Z",
    "export": "2026-05-01T20:31:40.950Z",
    "empty": "2026-05-01T20:44:02.003Z",
    "install": "2026-05-01T20:44:05.772Z",
    "import": "2026-05-01T20:45:11.410Z",
    "quiesce": "2026-05-01T21:00:00.000Z",
    "differences": "2026-05-01T21:00:41.300Z",
    "proof": "2026-05-01T21:00:48.910Z",
    "accept": "2026-05-01T21:00:55.104Z",
    "start": "2026-05-01T21:00:59.700Z",
    "report": "2026-05-01T21:01:04.480Z",
}
COLLECTIONS = {
    "acme_accounts": 12, "api_keys": 9, "audit_logs": 182304, "certificate_private_keys": 8210, "certificates": 8422,
    "dns_credentials": 64, "module_credentials": 141, "notification_channels": 7, "projects": 4, "users": 38,
    "zones": 217,
}  # fmt: skip
SEALED = {
    "acme_accounts.encrypted_private_key": 12, "certificate_private_keys.encrypted_key": 8210,
    "dns_credentials.encrypted_api_key": 64, "module_credentials.encrypted_value": 141,
    "notification_channels.encrypted_config": 7, "users.totp.encrypted_seed": 21,
}  # fmt: skip
NAMES = ("Payments", "Edge \u2013 \u00e9quipe r\u00e9seau", "Internal services", "Kubernetes clusters")


class Reader(HTMLParser):
    """What a browser makes of a page. names: of elements; attributes: (name, value); read: the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.read = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.read += data


def read(page: str) -> Reader:
    """Return what a browser makes of a page."""
    reader = Reader()
    reader.feed(page)
    return reader


def facts(names: tuple[str, ...] = NAMES) -> dict[str, object]:
    """Return what the role knows at the end. names: of projects."""
    ids = [f"{number:024x}" for number in range(1, len(names) + 1)]
    by_project = {"": 182400, **{one: 4000 + 997 * (number % 7) for number, one in enumerate(ids)}}
    records = sum(COLLECTIONS.values())
    first = {
        "bundle_id": "0b2db957712d4a4d8fba4bb2af436914", "created_at": "2026-05-01T20:31:43Z", "found_by": "everything",
        "layout": "binary/iv-first/aad-record-field", "records_sha256": "d5" * 32, "records_digest": "7f" * 32,
        "source_digest": "94" * 32, "metadata_sha256": "59" * 32, "manifest_sha256": "75" * 32, "records": records,
        "collections": COLLECTIONS, "sealed": SEALED, "by_project": by_project,
        "projects": [{"id": one, "name": name} for one, name in zip(ids, names, strict=True)],
        "recipients": ["age107qv5lnf30y4srkf6tvwsdgf68llhkkuefn8h0r3z9zlpp83ueps5twz7c"],
        "expiring": {
            "within_days": 30, "count": 3, "by_project": {ids[0]: 2, ids[-1]: 1},
            "certificates": [
                {"id": "a", "name": names[0], "project": names[-1], "not_after": "2026-05-02T09:00:00Z"},
                {"id": "b", "name": "*.shop.example.com", "project": names[0], "not_after": "2026-05-09T00:00:00Z"},
                {"id": "c", "name": "mail.example.com", "project": names[0], "not_after": "2026-05-28T12:30:00Z"},
            ],
        },
    }  # fmt: skip
    last = {
        **first, "bundle_id": "8c64384c50d94336b5a90e27c38e06b7", "base": first["bundle_id"],
        "created_at": "2026-05-01T21:00:43Z", "found_by": "oplog", "source_digest": "", "records": 41,
        "collections": {"audit_logs": 38, "certificates": 3}, "removed": {"api_keys": 1}, "sealed": {}, "projects": [],
        "by_project": {"": 38, ids[0]: 3}, "expiring": {"within_days": 30, "count": 0, "certificates": []},
        "carried": ["CERTAUTOPILOT_API_KEY_PEPPER"],
        "metadata": {"api_keys": {"options": [], "indexes": [], "left": ["option capped"]}},
    }  # fmt: skip
    return {
        "kind": "migration",
        "began": STAGES["backup"],
        "finished": "2026-05-01T21:01:07.000Z",
        "hosts": {"source": ["old1.example.com", "old2.example.com"], "destination": ["new1.example.com"]},
        "units": {"source": ["certautopilot.service"] * 2, "destination": ["certautopilot.service"]},
        "source": {
            "lock": {"provider": "env", "install_id": "c5e594c660a046bc960fc67da0ef6eb7", "installed_by": "service",
                     "installed_at": "2025-08-15T09:00:00Z"},
            "database": {"name": "certautopilot", "views": ["expiring_soon"]},
            "active": {"version": 2},
            "versions": [{"version": 1, "provider": "env", "state": "deactivated", "key": {"check_value": "90cb7f"}},
                         {"version": 2, "provider": "env", "state": "active", "key": {"check_value": "1f03aa"}}],
        },
        "destination": {
            "lock": {"provider": "pkcs11", "install_id": "00ee04d5fbba4cd09f6c1a98e4d55fd1",
                     "installed_at": "2026-05-01T20:44:51Z"},
            "database": {"name": "certautopilot_hsm"},
            "active": {"version": 1},
            "versions": [{"version": 1, "provider": "pkcs11", "state": "active", "key": {"check_value": "96a7ab"}}],
        },
        "first": first,
        "first_proof": {"equal_by": {"collection": COLLECTIONS, "project": by_project}},
        "last": last,
        "proof": {"bundle_id": last["bundle_id"], "records": records + 37, "equal": records + 37, "missing": [],
                  "different": [], "opened": 41, "found_by": "oplog", "unmoved_by": "oplog"},
        "secrets_left": ["CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1", "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V2",
                         "CERTAUTOPILOT_DATABASE_URI", "CERTAUTOPILOT_AUDIT_SECRET"],
        "stages_started": STAGES,
        "freeze": {"seconds": 64.5, "by_cause": {"stop": 3.1, "quiescence": 35.0, "reads": 6.4, "import": 1.2,
                   "retire": 1.0, "start": 2.3, "rest": 15.5}},
        "warnings": ["CERTAUTOPILOT_JWT_SECRET is not in the secrets file and is not carried to the destination"],
        "backups_kept": ["/var/backups/certautopilot/pre-migration-20260501T201004Z"],
        "backup": {"created_at": "2026-05-01T20:10:09Z", "documents": 199431, "envelopes": 8455,
                   "source_digest": "94" * 32},
    }  # fmt: skip


def rotation() -> dict[str, object]:
    """Return what kek_info tells after a rotation."""
    return {
        "lock": {"provider": "pkcs11", "install_id": "00ee04d5fbba4cd09f6c1a98e4d55fd1"},
        "active": {"version": 2},
        "versions": [
            {"version": 1, "provider": "pkcs11", "state": "deactivated", "key": {"check_value": "96a7ab"}},
            {"version": 2, "provider": "pkcs11", "state": "active", "key": {"check_value": "c40d1e"}},
        ],
        "database": {"name": "certautopilot_hsm"},
        "envelopes": {
            "total": 8455, "by_version": {"2": 8455},
            "by_field": [{"field": name, "count": count} for name, count in SEALED.items()],
        },
        "rotation": {
            "id": "6b0925036f87", "state": "complete", "from_versions": [1], "to_version": 2, "rewrapped": 8455,
            "failures": [], "started_at": "2026-05-01T20:00:00Z", "updated_at": "2026-05-01T20:12:31Z",
        },
    }  # fmt: skip


def all_facts() -> dict[str, dict[str, object]]:
    """Return name -> facts: calm ones and those that are most unlike them."""
    calm = facts()
    unequal = {"records": 60, "equal": 58, "missing": ["users/1"], "different": ["users/2"]}
    return {
        "migration": calm,
        "rehearsal": {**calm, "kind": "rehearsal", "freeze": {}},
        "hostile": facts(HOSTILE),
        "many": facts(tuple(f"Project {number}" for number in range(2000))),
        "lost": {**calm, "proof": unequal},
    }
