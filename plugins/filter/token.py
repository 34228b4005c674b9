# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter for the role token: where the files of a vendor's client must be. Pure; no file is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError


def token_client_files(
    files: Sequence[Mapping[str, str]], given: Mapping[str, str], environment: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return path and told (path and what it is) of each file.

    files: name, path, variable, what of each, as a family's variables file has them. A path is the operator's (given,
    by name), else what the variable of the library names, else the usual one.
    """
    unknown = sorted(set(given) - {file["name"] for file in files})
    if unknown:
        known = ", ".join(file["name"] for file in files) or "none"
        raise AnsibleFilterError(f"token_client_files names {', '.join(unknown)}, expected some of: {known}")
    found = []
    for file in files:
        path = str(given.get(file["name"]) or environment.get(file["variable"]) or file["path"])
        found.append({"path": path, "told": f"{path} ({file['what']})"})
    return found


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"token_client_files": token_client_files}
