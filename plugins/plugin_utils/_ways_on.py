# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done after a migration: go back to the source, and retire it for good. Steps for a person. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.retirement import FILE

from ._report_parts import items, word


def going_back(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """Return the steps back to the source: [{do, on, command}]. facts: hosts, units of each side."""
    return [
        _plain(
            "The playbook certautopilot.ops.rollback does all of this, in this order, and counts what is lost; with "
            "the inventory of the migration: ansible-playbook certautopilot.ops.rollback "
            "-e rollback_accept_loss=true. By hand:"
        ),
        _step(
            "Stop the destination, and keep it from starting, on every host of it. From here nothing serves.",
            facts, "destination", "systemctl disable --now {unit}",
        ),
        _step(
            "Take the source's retirement away on every host of it, and start it.",
            facts, "source",
            f"rm /etc/systemd/system/{{unit}}.d/{FILE} && systemctl daemon-reload && systemctl enable --now {{unit}}",
        ),
        _plain(
            "What was written at the destination since it started is not at the source: certificates issued or renewed "
            "there must be issued again."
        ),
        _plain(
            "Withdraw the acceptance at the destination (certautopilot.ops.migration_accept with state withdrawn), so "
            "that a later migration begins anew."
        ),
    ]  # fmt: skip


def retiring(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """Return the steps that retire the source for good: [{do, on, command}]. facts: hosts, units, backups_kept."""
    database = word(facts, "source", "database", "name")
    kept = ", ".join(str(one) for one in items(facts, "backups_kept"))
    return [
        _plain(
            "The playbook certautopilot.ops.retire_old_install refuses as long as something is missing, and says what."
        ),
        _plain(
            "Wait until the destination has renewed a certificate of each issuer, and until nobody misses anything. "
            "The source's units are stopped and cannot be started meanwhile."
        ),
        _plain(
            "Keep the backup of the source together with its secrets.env and, with provider pkcs11, its token: "
            f"without the source's KEK nothing in it opens. It lies on the source: {kept or 'see backups_kept'}"
        ),
        _plain(
            "Revoke certificates that the source's ACME accounts issued and that are needed no more; the accounts are "
            "at the destination as well."
        ),
        _plain(f"Drop the source's database {database} when the time to keep it is over, with your database's tool."),
        _plain("Remove the source's unit, program and files from its hosts."),
        _plain(
            "Destroy the source's KEK last: its lines in secrets.env, or its key in the HSM by the vendor's procedure. "
            "From then on no backup of the source can be opened."
        ),
    ]  # fmt: skip


def _plain(do: str) -> dict[str, str]:
    return {"do": do, "on": "", "command": ""}


def _step(do: str, facts: Mapping[str, object], side: str, command: str) -> dict[str, str]:
    """Return a step with its command for the units of a side; without one where they are no units of systemd."""
    units = list(dict.fromkeys(str(one) for one in items(facts, "units", side)))
    hosts = ", ".join(str(one) for one in items(facts, "hosts", side))
    told = command.format(unit=shlex.quote(units[0])) if len(units) == 1 else ""
    return {"do": do, "on": hosts, "command": told}
