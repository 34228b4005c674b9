# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of all installations of an inventory, from what each host said: as data, and as one screen. Pure.

A host that could not be reached, or whose database did not answer, is named so: nothing is said of what nobody saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ._report_parts import count, items, part, parts, word

WIDTH = 88  # columns of a line: what a callback puts around it fits into 100 with it
UNKNOWN = "not known to be one"


def status(hosts: Iterable[Mapping[str, object]], names: Sequence[str], now: str) -> dict[str, object]:
    """Return {now, hosts, unreachable, installations, others}. hosts: what those said that could be reached.

    names: of all hosts. others: hosts that said nothing of an installation, each with why.
    """
    reached = list(hosts)
    heard = {word(one, "name") for one in reached}
    by_id: dict[str, list[Mapping[str, object]]] = {}
    for one in reached:
        if part(one, "info", "lock"):
            by_id.setdefault(_id(one), []).append(one)
    return {
        "now": now,
        "hosts": len(names),
        "unreachable": [str(name) for name in names if str(name) not in heard],
        "installations": [_installation(nodes) for _name, nodes in sorted(by_id.items())],
        "others": [
            {"name": word(one, "name"), "why": word(one, "info", "msg") or UNKNOWN, "unit": _unit(one)}
            for one in reached if not part(one, "info", "lock")
        ],
    }  # fmt: skip


def _id(host: Mapping[str, object]) -> str:
    lock = part(host, "info", "lock")
    named = word(lock, "install_id") or f"foreign-{word(lock, 'installed_at')}"
    return f"{named}/{word(host, 'info', 'database', 'name')}"


def _installation(nodes: list[Mapping[str, object]]) -> dict[str, object]:
    info = part(nodes[0], "info")  # of one database: each node reads the same
    return {
        "install_id": _id(nodes[0]).partition("/")[0],
        "database": word(info, "database", "name"),
        "lock": part(info, "lock"),
        "groups": sorted({str(group) for one in nodes for group in items(one, "groups")}),
        "active": part(info, "active"),
        "versions": [
            {
                "version": count(one, "version"),
                "state": word(one, "state"),
                "removed": part({"": one}, "").get("removed"),
            }
            for one in items(info, "versions")
        ],
        "fleet": part(info, "fleet"),
        "rotation": part(info, "rotation"),
        "migration": part(info, "migration"),
        "turn": part(info, "turn"),
        "nodes": [{"name": word(one, "name"), "unit": _unit(one), "drift": drift(one)} for one in nodes],
    }


def _unit(host: Mapping[str, object]) -> dict[str, object]:
    unit, told = part(host, "unit", "service"), part(host, "unit")
    known = {name: unit.get(name) for name in ("exists", "active_state", "enabled", "retired", "retired_reason")}
    return {**known, "systemd": told.get("systemd"), "switch": host.get("switch") is True}


def drift(host: Mapping[str, object]) -> list[str]:
    """Return what of a node is not as the database, and the node itself, say that it must be."""
    info, unit = part(host, "info"), part(host, "unit", "service")
    configured, lock, active = part(info, "configured"), part(info, "lock"), count(info, "active", "version")
    found = []
    if word(configured, "provider") and word(configured, "provider") != word(lock, "provider"):
        found.append(f"its files say provider {word(configured, 'provider')}, the lock {word(lock, 'provider')}")
    held = items(configured, "kek_versions")
    if held and active and active not in held:
        found.append(f"its files have no key of the active version {active}")
    runs = word(unit, "active_state") in ("active", "reloading")
    if runs and unit.get("retired") is True:
        found.append("its unit runs although it is retired")
    if unit.get("exists") is True and unit.get("retired") is not True and runs != (unit.get("enabled") is True):
        found.append("its unit runs and is not enabled" if runs else "its unit is enabled and does not run")
    return found + _of_processes(host, runs, active)


def _of_processes(host: Mapping[str, object], runs: bool, active: int) -> list[str]:
    """Return what heartbeats of a node say otherwise than the database. Processes are told apart by host names."""
    names = {word(host, "name"), word(host, "name").partition(".")[0], word(host, "hostname")} - {""}
    living = [one for one in parts(host, "info", "fleet", "processes") if one.get("live") is True]
    mine = [one for one in living if word(one, "hostname") in names]
    found = []
    if runs and not mine:
        found.append("its unit runs and no process of it lives by the heartbeats")
    for one in mine:
        if active and count(one, "current_version") not in (0, active):
            found.append(f"{word(one, 'id')} writes with version {count(one, 'current_version')}, {active} is active")
        if active and items(one, "loaded_versions") and active not in items(one, "loaded_versions"):
            found.append(f"{word(one, 'id')} has not loaded the active version {active}")
    return found


def status_lines(told: Mapping[str, object]) -> list[str]:
    """Return the screen: lines of at most WIDTH columns."""
    installations, away = items(told, "installations"), items(told, "unreachable")
    head = f"{word(told, 'now')}  {len(installations)} installation(s) on {count(told, 'hosts')} host(s)"
    lines = [head + (f", {len(away)} cannot be reached" if away else "")]
    for one in parts(told, "installations"):
        lines += _told(one)
    for one in parts(told, "others"):
        lines += ["", f"{word(one, 'name')}: no installation read: {word(one, 'why')}"]
        lines += [f"  {word(one, 'name')}  {_unit_said(part(one, 'unit'))}"]
    lines += [f"{name}: CANNOT BE REACHED, nothing is known of it" for name in map(str, away)]
    return [row for line in lines for row in _wrapped(line)]


def _told(one: Mapping[str, object]) -> list[str]:
    active, fleet = part(one, "active"), part(one, "fleet")
    versions = ", ".join(
        f"{count(row, 'version')} {word(row, 'state')}{' (removed)' if row.get('removed') is True else ''}"
        for row in parts(one, "versions")
    )
    live = [
        f"{word(row, 'id')}@{word(row, 'hostname') or '?'} v{word(row, 'current_version') or '?'}"
        for row in parts(fleet, "processes") if row.get("live") is True
    ]  # fmt: skip
    beats = f"{count(fleet, 'live')} live of {len(items(fleet, 'processes'))}"
    newest = word(fleet, "newest_heartbeat") or "never"
    seals = f"active {word(active, 'version') or 'none'}, epoch {word(active, 'epoch') or '-'}"
    nodes = parts(one, "nodes")
    drifting = [f"{word(node, 'name')}: {why}" for node in nodes for why in items(node, "drift")]
    where = f"{word(one, 'database')} ({', '.join(map(str, items(one, 'groups')))})"
    return [
        "",
        f"{word(one, 'lock', 'provider')} installation {word(one, 'install_id')}, database {where}",
        f"  KEK        {versions or 'none'}; {seals}",
        f"  fleet      {', '.join([f'{beats}, newest {newest}', *live])}",
        f"  rotation   {_rotation(part(one, 'rotation'))}",
        f"  migration  {_migration(part(one, 'migration'), part(one, 'turn'))}",
        *(f"  {word(node, 'name')}  {_unit_said(part(node, 'unit'))}" for node in nodes),
        *([f"  drift      {why}" for why in drifting] or ["  drift      none seen"]),
    ]


def _rotation(rotation: Mapping[str, object]) -> str:
    if not rotation:
        return "never"
    state = word(rotation, "state")
    if state in ("complete", "cancelled"):
        return f"{word(rotation, 'id')} {state} at {word(rotation, 'updated_at')}"
    return f"{word(rotation, 'id')} {state}, {word(rotation, 'percent')} %, {count(rotation, 'remaining')} left"


def _migration(migration: Mapping[str, object], turn: Mapping[str, object]) -> str:
    came = f"{word(migration, 'state')} from {word(migration, 'source_install_id')} at {word(migration, 'updated_at')}"
    said = [came] if migration else []
    if turn:
        by = f"{word(turn, 'run_by', 'user')} on {word(turn, 'run_by', 'host')}"
        said.append(f"run {word(turn, 'run')} of {by} has the turn since {word(turn, 'since')}")
    return "; ".join(said) or "none"


def _unit_said(unit: Mapping[str, object]) -> str:
    if unit.get("systemd") is not True:
        return "no systemd here: how the service is nobody asked"
    if unit.get("exists") is not True:
        return "not there"
    state = f"{word(unit, 'active_state')}, {'enabled' if unit.get('enabled') is True else 'not enabled'}"
    state += f", retired ({word(unit, 'retired_reason')})" if unit.get("retired") is True else ""
    return state + (", return switch ARMED" if unit.get("switch") is True else "")


def _wrapped(line: str) -> list[str]:
    """Return the line in rows of at most WIDTH columns, cut at blanks where there are any."""
    rows, indent = [], " " * 13
    while len(line) > WIDTH:
        cut = line.rfind(" ", len(indent), WIDTH + 1)
        cut = WIDTH if cut <= len(indent) else cut
        rows.append(line[:cut])
        line = indent + line[cut:].lstrip()
    return [*rows, line]
