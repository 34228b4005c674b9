# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb runtime_environment: a virtual environment with exactly the locked libraries, and a fact file that names it.

The only verb that runs before the libraries are there. The interpreter that runs it makes the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._runtime import fact_file, making
from .._runtime.environment import Environment, Wanted, look


@dataclass(frozen=True, slots=True)
class Options:
    """path: the folder of environments. lock_sha256, libraries: the lock's digest, and name -> version in it.

    pythons: real paths of interpreters that an environment may be made of, none for any. lock_file: the lock on this
    host, and wheels: a folder instead of package indexes; both are only used where one must be made. fact_file: "" for
    none.
    """

    path: str
    lock_sha256: str
    libraries: Mapping[str, str]
    pythons: tuple[str, ...] = ()
    lock_file: str = ""
    wheels: str = ""
    fact_file: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return the environment in use, made where it was not fit. Raises OpsError runtime.*, file.*."""
    folder = Path(options.path)
    wanted = Wanted(options.lock_sha256, options.libraries, options.pythons)
    before = look(folder, wanted)
    after = _made(folder, wanted, options) if before.trouble and not check else before
    remembered = not options.fact_file or fact_file.says(Path(options.fact_file), after.as_fact(wanted))
    if not remembered and not check:
        fact_file.write(Path(options.fact_file), after.as_fact(wanted))
    fit = {"environment": "fit", "libraries": dict(wanted.libraries)}
    return Result(
        changed=bool(before.trouble) or not remembered,
        values={"python": after.python, "version": after.version, "reason": before.trouble, "remembered": remembered},
        before={**fit, "remembered": remembered} if not before.trouble else {"environment": before.trouble},
        after={**fit, "remembered": True},
    )


def _made(folder: Path, wanted: Wanted, options: Options) -> Environment:
    if not options.lock_file:
        raise OpsError(
            f"there is nothing to install into {folder}, expected a lock",
            code="runtime.lock_missing",
            hint="give the path of the lock on this host as `lock_file`; the role runtime does",
        )
    wheels = Path(options.wheels) if options.wheels else None
    return making.make(folder, wanted, lock_file=Path(options.lock_file), wheels=wheels)
