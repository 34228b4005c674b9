# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MongoDB URI taken apart as the driver takes it apart, and what is weak about the connection that it asks for. Pure.

WHY not urllib: it ends a password at `#` and refuses one with `[`, where the driver and the service take both (X95).
Nothing here refuses a URI: that is the driver's part (`_store/opening.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

from .secret import Secret

SRV, PORT = "mongodb+srv", 27017
CA_FILE, KEY_FILE, CRL_FILE = "tlscafile", "tlscertificatekeyfile", "tlscrlfile"
TLS_FILES = (CA_FILE, KEY_FILE, CRL_FILE)  # names of options are not told apart by case
_UNVERIFIED = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")
_LOCAL = ("localhost", "127.", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class MongodbUri:
    """hosts: as written, with ports. options: name in lower case -> value; of a doubled name the last."""

    scheme: str
    hosts: tuple[str, ...]
    database: str
    password: Secret[str]
    options: Mapping[str, str] = field(repr=False)

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Return (name, port) of each host, without brackets."""
        return tuple(_address(host) for host in self.hosts)

    def tls(self) -> bool:
        """Return whether the connection is encrypted, as the driver decides it."""
        asked = self.options.get("tls", self.options.get("ssl", "")).lower()
        return asked == "true" or (asked != "false" and (self.scheme == SRV or any(map(_is_of_tls, self.options))))


def parts_of(uri: Secret[str]) -> MongodbUri:
    """Return the parts of a URI; of one that is none, what is found in it."""
    scheme, _mark, rest = uri.reveal().partition("://")
    before, _mark, query = rest.partition("?")
    place, _mark, database = before.partition("/")
    userinfo, _mark, hosts = place.rpartition("@")
    pairs = (pair.partition("=") for pair in query.replace(";", "&").split("&") if pair)
    return MongodbUri(
        scheme=scheme,
        hosts=tuple(host for host in hosts.split(",") if host),
        database=unquote_plus(database).partition(".")[0],
        password=Secret(userinfo.partition(":")[2]),
        options={name.lower(): unquote_plus(value) for name, _mark, value in pairs},
    )


def passwords_in(uri: str) -> tuple[str, ...]:
    """Return the password of a URI as it is and decoded, nothing where it has none.

    WHY also another cut: in a password with `/` or `?` the driver finds no password, refuses the URI, and it is one.
    """
    rest = uri.partition("://")[2]
    if "@" not in rest:
        return ()
    typed = (parts_of(Secret(uri)).password.reveal(), rest.rpartition("@")[0].partition(":")[2])
    return tuple(dict.fromkeys(form for one in typed if one for form in (one, unquote(one))))


def weak_points(parts: MongodbUri) -> list[str]:
    """Return one sentence for each thing that lets others on the way read or change what is sent (X33)."""
    remote = [host for host in parts.hosts if not host.startswith(_LOCAL) and not host.endswith(".sock")]
    if not remote:
        return []
    where = ", ".join(remote)
    if not parts.tls():
        open_to_all = (
            f"the connection to the database at {where} is not encrypted: whoever is on the way can read and change "
            "what is sent; add tls=true to its URI, or set `mongodb_tls: true`"
        )
        return [open_to_all]
    off = [name for name in _UNVERIFIED if parts.options.get(name, "").lower() == "true"]
    return [
        f"{name} is on for the database at {where}: whoever is on the way can pose as the database; leave it out, and "
        "name the CA in `mongodb_tls_ca_file` or by tlsCAFile in its URI"
        for name in off
    ]


def _address(host: str) -> tuple[str, int]:
    found = re.fullmatch(r"\[?(.+?)\]?(?::(\d{1,5}))?", host)
    return (found[1], int(found[2] or PORT)) if found else (host, PORT)


def _is_of_tls(name: str) -> bool:
    return name.startswith("tls")
