# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of certificates and projects, wherever they were read from: what is shown of them, and what they are called.

What cannot be decoded is shown as far as it can be: a text that is not UTF-8 keeps nothing else back (X11). Ids are
compared by type and value, and where that finds nothing by their text: a `project_id` may be stored as text (X91).
"""

from __future__ import annotations

from collections.abc import Iterable

from .._domain.catalogue import record_id_text
from .._domain.certificate_chain import certificates_in
from .._domain.certificate_filter import facts_of, instant_of, serials_told
from .._domain.certificate_source import Facts, Listed, Project
from .._domain.values import BsonValue, Document
from .._store import record_bytes

CERTIFICATES, PRIVATE_KEYS, PROJECTS = "certificates", "certificate_private_keys", "projects"
PRIVATE_KEY = ("encrypted_key",)  # steps to the field
_OBJECT_ID = 0x07  # the type of an `_id` that is unlike every other; its text is like that of a text


class Projects:
    """The projects of an installation. documents: of `projects`, as `shown` returns them."""

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._by_key: dict[bytes, Project] = {}
        self._by_text: dict[str, Project] = {}
        for document in documents:
            self.note(document)

    def note(self, document: Document) -> None:
        text = text_of(document.get("_id"))
        names = {text, text_of(document.get("slug")), text_of(document.get("name"))} - {""}
        title = text_of(document.get("slug")) or text_of(document.get("name")) or text
        project = Project(text, frozenset(names), title)
        self._by_key[record_bytes.id_key(document.get("_id"))] = project
        self._by_text.setdefault(text, project)

    def all(self) -> list[Project]:
        return list(self._by_key.values())

    def of(self, project_id: BsonValue) -> Project:
        """Return the project of a certificate; one that is gone is a project all the same."""
        text = "" if project_id is None else record_id_text(project_id)
        found = self._by_key.get(record_bytes.id_key(project_id)) or self._by_text.get(text)
        if found is None:
            title = f"no-project.{text}" if text else "no-project"
            found = self._by_text[text] = Project(text, frozenset({text} - {""}), title, is_gone=True)
        return found


def listed_of(raw: bytes, document: Document, project: Project) -> Listed:
    """Return a certificate as lists have it. document: as `shown` returns it for `raw`."""
    key, record_id = record_bytes.id_key_of(raw), document.get("_id")
    name = text_of(document.get("name")) or text_of(document.get("common_name")) or record_id_text(record_id)
    aliases = {record_id_text(record_id), text_of(document.get("name")), text_of(document.get("common_name"))}
    return Listed(
        key=key,
        id=record_id_text(record_id),
        mark=record_id_text(record_id) if key[4] == _OBJECT_ID else key.hex(),
        project=project,
        name=name,
        aliases=frozenset(aliases - {""}),
        facts=facts_in(document),
    )


def facts_in(document: Document) -> Facts:
    """Return what the record tells, and what its certificate tells better."""
    names = (document.get(name) for name in ("issuer_type", "issuer_name", "issuer"))
    told = Facts(
        serials=serials_told(document.get("serial_number")),
        not_after=instant_of(document.get("not_after")),
        issuers=frozenset(text_of(name).casefold() for name in names) - {""},
        status=text_of(document.get("status")),
    )
    try:
        return facts_of(certificates_in(octets_of(document.get("certificate_pem")))[0], told)
    except (ValueError, IndexError):
        return told


def shown(raw: bytes) -> Document:
    """Return a record of which only names and public things are used; {} where not even that can be read."""
    try:
        return record_bytes.decode_to_show(raw)
    except ValueError:
        return {"_id": record_bytes.id_of(record_bytes.id_key_of(raw))}


def text_of(value: BsonValue) -> str:
    return "" if value is None else record_id_text(value)


def octets_of(value: BsonValue) -> bytes:
    """Return a text or bytes as bytes, b"" for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value) if isinstance(value, bytes) else b""
