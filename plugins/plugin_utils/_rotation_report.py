# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation reports, made of what kek_info reads when it is over: the JSON, from which the page is drawn. Pure.

Only of the rotation's record and of what it moved, so that a second run of the playbook would report the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._migration_report import FORMAT, ROTATION, keys_of
from ._report_parts import count, items, part, word


def rotation_report(info: Mapping[str, object], hosts: list[str]) -> dict[str, object]:
    """Return the report of the last rotation. info: of kek_info. hosts: those of the play."""
    rotation = part(info, "rotation")
    old = [str(one) for one in items(rotation, "from_versions")]
    return {
        "format": FORMAT,
        "kind": ROTATION,
        "began": word(rotation, "started_at"),
        "finished": word(rotation, "updated_at"),
        "hosts": {"installation": hosts},
        "rotation": {**rotation, "from_version": ", ".join(old)},
        "installation": part(info, "lock"),
        "database": word(info, "database", "name"),
        "keys": {"installation": keys_of(info)},
        "envelopes": count(info, "envelopes", "total"),
        "by_version": part(info, "envelopes", "by_version"),
        "by_field": items(info, "envelopes", "by_field"),
        "warnings": items(info, "warnings"),
        "retiring": _retiring(old, count(rotation, "to_version")),
    }


def _retiring(old: list[str], new: int) -> list[dict[str, str]]:
    """Return the steps after a rotation."""
    keep = (
        "Keep the old version's key for as long as a backup from before the rotation may be needed: those envelopes "
        "open with it only."
    )
    retire = (
        "When that is over, retire it: run the playbook again with these variables. It refuses while an envelope, a "
        "process or a backup that it knows of needs the version."
    )
    delete = "With provider env, delete the retired version's line from secrets.env on every host."
    command = f"-e rotate_to_version={new} -e rotate_remove_version={old[0]}" if old else ""
    steps = [(keep, ""), (retire, command), (delete, "")]
    return [{"do": do, "on": "", "command": typed} for do, typed in steps]
