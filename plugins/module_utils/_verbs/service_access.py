# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb service_access: prove as the service's user that it can use its files, library, token and key. Changes nothing.

Order: the unit, the paths as the user and in the unit's sandbox, then the key, whose canary is opened by a process of
that user. A paths' fault comes first, because it says what to repair; the token alone says "no such key" (ADR-0035).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._domain.access import OWN, READ, Problem, Wanted, refusal
from .._domain.errors import LoginRefused, OpsError
from .._domain.pkcs11_settings import MODULE, RUN_AS
from .._domain.result import Result
from .._domain.settings import PROVIDER, Settings
from .._domain.unit_file import UnitFile
from .._domain.values import JsonObject
from .._installation import as_user
from .._installation.as_user import Actor
from .._installation.installation import open_database, opened_keys
from .._installation.login_turn import first_login
from .._installation.service_unit import launch_like, read_unit
from .._keys import registry
from .._store import install_lock
from .._store.opener import uid_of

FILES, KEY = "files", "key"


@dataclass(frozen=True, slots=True)
class Options:
    """unit: of the service, "" for none. gather: what to prove. sandbox: also in a transient unit like the service's.

    refuse: fail on paths that cannot be used; otherwise they are only returned.
    """

    unit: str = "certautopilot.service"
    gather: tuple[str, ...] = (FILES, KEY)
    sandbox: bool = True
    refuse: bool = True


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return user, problems and what is proven. Raises OpsError access.*, and what the keys raise."""
    unit = read_unit(options.unit)
    actor = _actor(settings, unit)
    kept = _kept_for_the_device(settings)
    boxed = None
    if unit is not None and options.sandbox and os.geteuid() == 0:
        boxed = replace(actor, launch=launch_like(unit, variables=kept))
    wanted = _wanted(settings, unit)
    problems, unproven = _tried(actor, boxed, wanted)
    if problems and options.refuse:
        raise refusal(problems, actor.name, actor.group)
    values: JsonObject = {
        "user": actor.name,
        "group": actor.group,
        "unit": options.unit if unit is not None else "",
        "problems": [problem.as_result(actor.name, actor.group) for problem in problems],
        "paths": [one.path for one in wanted],
        "key": None,
        "unproven": [*unproven, *(f"{name}= of the unit" for name in (unit.left_out if unit is not None else ()))],
    }
    if KEY in options.gather and not problems:
        values["key"] = _key(settings, actor, None if unproven else boxed)
    return Result(changed=False, values=values, before={}, after={})


def _actor(settings: Settings, unit: UnitFile | None) -> Actor:
    """Return the service's user: the unit's, then `service_user`, then our own. Raises OpsError access.user."""
    named = settings.service_uid
    if unit is None:
        return as_user.actor_of(os.geteuid() if named is None else named)
    uid = int(unit.user) if unit.user.isdecimal() else uid_of(unit.user or "root") or 0
    actor = as_user.actor_of(uid, group="" if unit.group.isdecimal() else unit.group)
    if named not in (None, uid):
        raise OpsError(
            f"the service's unit says user {actor.name}, and `service_user` is {as_user.actor_of(named or 0).name}, "
            "expected one user",
            code="access.user",
            hint="correct `service_user`, or leave it out",
        )
    if os.geteuid() not in (0, uid):
        raise OpsError(
            f"what {actor.name} may do cannot be tried by uid {os.geteuid()}, expected root",
            code="access.user",
            hint="run the task with become",
        )
    return actor


def _wanted(settings: Settings, unit: UnitFile | None) -> tuple[Wanted, ...]:
    """Return the files of the installation that are there, and what a device's library uses."""
    found = [] if settings.config_file is None else [Wanted(settings.config_file, (READ,), "config.yaml", OWN)]
    secrets = settings.secrets_file
    # WHY not where the unit names it: systemd reads that file itself, as root, and root's it may stay.
    if secrets is not None and secrets not in (unit.environment_files if unit is not None else ()):
        found.append(Wanted(secrets, (READ,), "secrets.env", OWN))
    if PROVIDER.name not in settings.values:
        return tuple(found)
    return (*found, *registry.configured(settings).used_paths(settings))


def _tried(actor: Actor, boxed: Actor | None, wanted: Sequence[Wanted]) -> tuple[list[Problem], list[str]]:
    """Return (problems, what could not be tried). Raises OpsError access.user where nothing can be tried."""
    problems = as_user.problems_of(actor, wanted)
    if problems is None:
        raise OpsError(
            f"no process of user {actor.name} could be started, expected a shell that it can run",
            code="access.user",
            hint="see that /bin/sh and the folders above it are there for that user",
        )
    if boxed is None:
        return problems, []
    in_the_box = as_user.problems_of(boxed, wanted)
    if in_the_box is None:
        return problems, ["the unit's sandbox: no transient unit with its properties could be started"]
    return [*problems, *as_user.read_only(in_the_box, problems)], []


def _key(settings: Settings, actor: Actor, boxed: Actor | None) -> JsonObject:
    """Return what of the key is proven, and how: opened by the service's user, and in the unit's sandbox."""
    plain = replace(settings, values={**settings.values, RUN_AS.name: actor.name})
    if boxed is None or not registry.configured(settings).DEVICE:
        return {**_opened(plain), "as": actor.name, "sandbox": False}
    inside = replace(settings, values={**settings.values, RUN_AS.name: MODULE}, device_launch=boxed.launch)
    try:
        return {**_opened(inside), "as": actor.name, "sandbox": True}
    except LoginRefused:
        raise  # a PIN is tried once
    except OpsError as refused:
        _opened(plain)  # what the user cannot do outside of the sandbox either says what is wrong
        raise OpsError(
            f"user {actor.name} can use the key, and a process in the sandbox of the service's unit cannot: "
            f"{refused.message}",
            code="access.sandbox",
            hint="the unit's own variables, paths (ReadWritePaths=) or MemoryDenyWriteExecute= keep the library out; "
            "correct the unit, or leave this try out by `sandbox: false`",
        ) from refused


def _opened(settings: Settings) -> JsonObject:
    """Return the versions whose canaries opened; none where no key was made yet, and the device lets us in."""
    with open_database(settings) as store:
        lock = install_lock.read(store)
        if lock is not None:
            registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
            with opened_keys(settings, store, lock) as installation:
                return {"versions": list(installation.provider.versions())}
        if registry.configured(settings).DEVICE:
            turn = first_login(settings, store, queue=False)  # the database may be empty, and stays so
            registry.build_registry(settings, first_login=turn).close()
    return {"versions": []}


def _kept_for_the_device(settings: Settings) -> Mapping[str, str]:
    """Return the variables that the device's library reads here, for a unit that does not have them yet."""
    known = registry.library_variables(settings)
    ours = {name: value for name, value in os.environ.items() if name.startswith(known)}
    return {**ours, **settings.hsm_environment}
