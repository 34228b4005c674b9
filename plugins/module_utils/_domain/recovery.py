# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that is brought back: what its record refers to, how it differs from another, why it is refused. Pure.

The vendor documents no field that refers to another record but `project_id`. So what ends like a reference and names an
`_id` of the source is one (ADR-0042).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from .catalogue import record_id_text
from .errors import OpsError
from .listing import LISTED_AT_MOST, listed
from .values import BsonValue, JsonObject

PROJECT, OWNER, PEM = "project_id", "certificate_id", "certificate_pem"
AT_MOST = 1000  # certificates a run: they are held in memory, and more of them are a migration

Place: TypeAlias = tuple[str, str]
"""Collection and id as text."""

NOT_FOLLOWED = frozenset({"projects", "users", "api_keys", "certificates", "certificate_private_keys", "audit_logs"})
"""Collections to which a field may refer without being followed: a project is chosen by name, a person or a key of the
API is not brought back by way of a certificate, and other certificates are named by themselves."""


def references_in(document: Mapping[str, BsonValue]) -> Iterator[BsonValue]:
    """Yield what the fields of a record name that end like references: `x_id` and `x_ids`."""
    for name, value in document.items():
        if name in ("_id", PROJECT, OWNER) or value in (None, ""):
            continue
        if name.endswith("_id") and not isinstance(value, (Mapping, list)):
            yield value
        elif name.endswith("_ids") and isinstance(value, list):
            yield from (one for one in value if not isinstance(one, (Mapping, list)))


def differing_fields(one: Mapping[str, BsonValue], other: Mapping[str, BsonValue]) -> list[str]:
    """Return the fields of the first level that differ, sorted; `kek_version` is of an installation and not counted."""
    names = {*one, *other} - {"kek_version"}
    return sorted(name for name in names if name not in one or name not in other or one[name] != other[name])


def with_project(document: Mapping[str, BsonValue], project_id: BsonValue) -> dict[str, BsonValue]:
    """Return a record as one of another project, its fields in their order; one that names no project is as it was."""
    return {name: project_id if name == PROJECT else value for name, value in document.items()}


def place(collection: str, record_id: BsonValue) -> str:
    return f"{collection}/{record_id_text(record_id)}"


def exists(conflicts: list[JsonObject]) -> OpsError:
    """Return the refusal for certificates that are at the destination in another form. conflicts: id, name, found."""
    named = [f"{one['name']} ({one['id']}): {one['found']}" for one in conflicts]
    return OpsError(
        f"{len(conflicts)} of the certificates are at the destination and differ: {listed(named)}; expected the same, "
        "or none",
        code="recover.exists",
        hint="nothing was written; look at them there, and delete in the product what is to be replaced; or bring the "
        "others only, with `existing: keep`",
        conflicts=conflicts[:LISTED_AT_MOST],
    )


def nothing_named() -> OpsError:
    return OpsError(
        "no certificate is named, expected one of names, ids, serials and projects at least",
        code="recover.nothing_named",
        hint="name the certificates that were forgotten; what is to travel as a whole is a migration",
    )


def not_found(what: str, asked: list[str], where: str) -> OpsError:
    return OpsError(
        f"no {what} {listed(asked)} in {where}",
        code="recover.not_found",
        hint="ids, names, common names and serial numbers match as the source has them; is it the right source?",
    )


def too_many(count: int) -> OpsError:
    return OpsError(
        f"{count} certificates are named, expected at most {AT_MOST} a run",
        code="recover.too_many",
        hint="name fewer at a time; what is to travel as a whole is a migration",
    )


def project_missing(project: str, known: list[str], *, code: str = "recover.project_missing") -> OpsError:
    return OpsError(
        f"the destination has no project {project}; it has {listed(known) or '(none)'}",
        code=code,
        hint="name the project that the certificates are to be of as `into_project`, or make it in the product first",
        projects=known[:LISTED_AT_MOST],
    )


def references_missing(missing: list[str]) -> OpsError:
    return OpsError(
        f"the certificates refer to records that the destination does not have: {listed(missing)}",
        code="recover.references_missing",
        hint="set `references: bring` to bring them as well, or `references: leave` to bring the certificates without: "
        "they can be used then, and perhaps not be renewed",
        references=missing[:LISTED_AT_MOST],
    )
