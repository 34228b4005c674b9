# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action of bundle_transfer: a bundle comes from one host to another by way of the controller, streamed (X80).

Documented in plugins/modules/bundle_transfer.py. WHY not ansible.builtin.fetch: where the tasks become root it reads
the whole file into memory, as base64. Here root copies it for the login user, whose connection then streams it.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.certautopilot.ops.plugins.plugin_utils._failures import failed
from ansible_collections.certautopilot.ops.plugins.plugin_utils._runs import has_ended, this_run

FILES = ("records.age", "manifest.json")
ARGUMENTS = {
    "state": {"type": "str", "choices": ["fetched", "put", "forgotten"], "required": True},
    "folder": {"type": "str", "default": ""},
}
CODE = "bundle.transfer"
HINT = "the login user's home needs as much free space as the bundle, and so does Ansible's folder on the controller"
RUN = "run.json"  # beside the bundles on the controller: whose they are
HANDOVER = ".certautopilot-bundle-"  # a folder of the login user, in its home


class ActionModule(ActionBase):
    _supports_check_mode = True
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the task's result. Raises AnsibleConnectionFailure."""
        started = super().run(tmp, task_vars)
        del tmp
        _validated, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        state, folder = options["state"], options["folder"]
        if state == "forgotten":
            forget()
            return {**started, "changed": False}
        if self._task.check_mode:
            return {**started, "changed": False, "skipped": True, "msg": "no bundle is made in check mode"}
        here = folder_of_this_run() / Path(folder).name
        try:
            if not folder:
                raise AnsibleActionFail("folder is empty, expected the bundle's on the host")
            if state == "fetched":
                self._fetch(folder, here)
                return {**started, "changed": False}
            return {**started, "changed": self._put(here, folder, task_vars)}
        except AnsibleConnectionFailure:
            raise  # WHY: this is a host that cannot be reached, which Ansible says in a way of its own
        except (AnsibleError, OSError) as why:
            return {**started, **failed(CODE, f"the bundle in {folder} was not {state}: {why}", hint=HINT)}

    def _fetch(self, folder: str, here: Path) -> None:
        private(here)
        if not self._connection.become:
            for name in FILES:
                self._connection.fetch_file(f"{folder}/{name}", str(here / name))
            return
        place, uid = self._handover()
        try:
            for name in FILES:
                source, copy = shlex.quote(f"{folder}/{name}"), shlex.quote(f"{place}/{name}")
                self._shell(f"umask 077 && cp -- {source} {copy} && chown {uid} {copy}", sudoable=True)
                self._connection.fetch_file(f"{place}/{name}", str(here / name))
        finally:
            self._login(f"rm -rf {shlex.quote(place)}")

    def _handover(self) -> tuple[str, int]:
        """Return a new private folder of the login user, and that user's number. Raises AnsibleActionFail."""
        said = self._login(f'rm -rf "$HOME"/{HANDOVER}*; mktemp -d "$HOME"/{HANDOVER}XXXXXXXX && id -u')
        # WHY the last two words: a login shell may greet before it does what it is asked to.
        place, uid = ["", "", *said.split()][-2:]
        if HANDOVER not in place or not place.startswith("/") or not uid.isdecimal():
            raise AnsibleActionFail(
                f"the login user's shell printed {said[-200:]!r}, expected a new folder in its home and a number"
            )
        return place, int(uid)

    def _put(self, here: Path, folder: str, task_vars: dict[str, Any] | None) -> bool:
        """Return whether the host had another bundle, or none. The folder is made private, the manifest comes last."""
        directory = {"path": folder, "state": "directory", "mode": "0700"}
        results = [self._module("ansible.builtin.file", directory, task_vars)]
        for name in FILES:
            copy = self._task.copy()
            copy.args = {"src": str(here / name), "dest": f"{folder}/{name}", "mode": "0600"}
            action = self._shared_loader_obj.action_loader.get(
                "ansible.builtin.copy", task=copy, connection=self._connection, play_context=self._play_context,
                loader=self._loader, templar=self._templar, shared_loader_obj=self._shared_loader_obj,
            )  # fmt: skip
            results.append(_succeeded(action.run(task_vars=task_vars)))
        return any(result.get("changed") for result in results)

    def _module(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        return _succeeded(self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars))

    def _login(self, command: str) -> str:
        return self._shell(command, sudoable=False)

    def _shell(self, command: str, *, sudoable: bool) -> str:
        """Return what a command printed. Raises AnsibleActionFail."""
        answer = self._low_level_execute_command(command, sudoable=sudoable)
        if answer["rc"] != 0:
            said = (answer.get("stderr") or answer.get("stdout") or "").strip()[-500:]
            raise AnsibleActionFail(
                f"the bundle could not be handed over ({said}), expected free space in the login user's home"
            )
        return str(answer["stdout"])


def folder_of_this_run() -> Path:
    """Return the folder of the controller in which the bundles of this run of ansible-playbook are."""
    return Path(constants.DEFAULT_LOCAL_TMP).parent / f"certautopilot-bundles-{this_run()[0]}"


def private(folder: Path) -> None:
    """Make a folder that nobody else can enter, and the one above, which says whose it is."""
    for one in (folder.parent, folder):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
        one.chmod(0o700)
    (folder.parent / RUN).write_text(json.dumps(this_run()[1]), encoding="utf-8")


def forget() -> None:
    """Remove the bundles of this run, and those that a run which was killed could not remove."""
    own = folder_of_this_run()
    for folder in own.parent.glob("certautopilot-bundles-*"):
        try:
            gone = folder == own or has_ended(json.loads((folder / RUN).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            gone = False  # WHY: it says of no run, so nobody can tell whether that goes on
        if gone:
            shutil.rmtree(folder, ignore_errors=True)


def _succeeded(result: dict[str, Any]) -> dict[str, Any]:
    if result.get("failed"):
        raise AnsibleActionFail(str(result.get("msg") or "the file could not be written"), result=result)
    return result
