# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings come from on a host: options, their files, the environment, secrets.env and config.yaml.

The only place that reads configuration files. A default file that is not there is passed over; a file that was named
must be there. Files that hold secrets must not be readable by others, and none may be written by others: config.yaml
says which library is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._domain.catalogue import BUILT_IN, NO_ENVELOPE
from .._domain.environment_file import parse_assignments
from .._domain.errors import FileMissing, OpsError
from .._domain.pin_text import pin_in_file
from .._domain.secret import Secret
from .._domain.secret_forms import secrets_in
from .._domain.settings import Setting, Settings, Source, conflict, resolve
from .._keys import registry
from .._store.opener import uid_of
from .._store.private_files import read_private, read_private_text, read_trusted
from .config_yaml import parse

DEFAULT_CONFIG_FILE = "/etc/certautopilot/config.yaml"
DEFAULT_SECRETS_FILE = "/etc/certautopilot/secrets.env"
NO_FILE = "/dev/null"  # named on purpose where an installation has no such file yet
SOURCE_PREFIX = "source_"  # of the options of a second installation, from which something comes
OBSOLETE = "CERTAUTOPILOT_ENCRYPTION_CURRENT_VERSION"

Params = Mapping[str, Any]


def settings_from(params: Params, *, environment: Mapping[str, str], warn: Callable[[str], None]) -> Settings:
    """Return the settings of this call.

    params: the module's options. environment: the process's. Raises OpsError file.*, settings.*, env_kek.*.
    """
    service_uid = uid_of(str(params.get("service_user") or ""))
    secrets_file, secrets = _secrets(params.get("secrets_file"), service_uid)
    ours = _hidden({name: value for name, value in environment.items() if name.startswith("CERTAUTOPILOT_")})
    for name in secrets_in({name: value.reveal() for name, value in ours.items()}):
        warn(
            f"{name} comes from the environment: where a task's `environment:` gives it, it is in argv on the host and "
            "shown at -vvv; put it into secrets.env, or into a file that an option names"
        )
    for place, variables in (("environment", ours), (f"secrets file {secrets_file}", secrets)):
        if OBSOLETE in variables:
            warn(f"{OBSOLETE} is set in {place}; it has no effect, because the active version is in the keystore")
    sources = [*_options(params, service_uid), Source("the environment", _named(ours), ours)]
    if secrets_file is not None:
        sources.append(Source(f"secrets file {secrets_file}", _named(secrets), secrets))
    sources.extend(_config(params.get("config_file"), service_uid))
    catalogue = _catalogue(params.get("catalogue") or {})
    settings = resolve(
        sources,
        catalogue=catalogue,
        secrets=secrets,
        secrets_file=secrets_file,
        config_file=_config_file(params.get("config_file")),
        service_uid=service_uid,
    )
    known = registry.library_variables(settings)
    return replace(settings, hsm_environment=_hsm_variables(secrets, secrets_file, environment, known))


def settings_of_source(
    params: Params, *, environment: Mapping[str, str], warn: Callable[[str], None]
) -> Settings:  # fmt: skip
    """Return the settings of the source, by the options that begin with SOURCE_PREFIX. Raises as `settings_from` does.

    WHY no default file and no variable of ours: on a host of the destination those are the destination's.
    """
    given = {
        name.removeprefix(SOURCE_PREFIX): value for name, value in params.items() if name.startswith(SOURCE_PREFIX)
    }
    files = {name: given.get(name) or NO_FILE for name in ("config_file", "secrets_file")}
    of_both = {"service_user": params.get("service_user"), "catalogue": params.get("catalogue")}
    others = {name: value for name, value in environment.items() if not name.startswith("CERTAUTOPILOT_")}
    return settings_from({**given, **files, **of_both}, environment=others, warn=warn)


def _options(params: Params, service_uid: int | None) -> list[Source]:
    known = registry.all_settings()
    given = {setting: str(params[setting.name]) for setting in known if params.get(setting.name) is not None}
    sources = [Source("the module's options", given)]
    for setting in known:
        if setting.secret and params.get(setting.file_option) is not None:
            path = Path(str(params[setting.file_option]))
            if setting.typed:
                content = read_private(path, empty_code=setting.empty_code, service_uid=service_uid, whole=True)
                text = pin_in_file(content, origin=str(path))
            else:
                text = read_private_text(path, empty_code=setting.empty_code, service_uid=service_uid)
            sources.append(Source(f"{setting.file_option} {path}", {setting: text}))
    return sources


def _secrets(named: object, service_uid: int | None) -> tuple[str | None, dict[str, Secret[str]]]:
    path = Path(str(named or DEFAULT_SECRETS_FILE))
    if str(path) == NO_FILE:
        return None, {}
    try:
        content = read_private_text(path, service_uid=service_uid)
    except FileMissing:
        if str(path) == DEFAULT_SECRETS_FILE:
            return None, {}
        raise
    return str(path), _hidden(parse_assignments(content, origin=str(path)))


def _config(named: object, service_uid: int | None) -> list[Source]:
    path = Path(str(named or DEFAULT_CONFIG_FILE))
    if str(path) == NO_FILE:
        return []
    try:
        content = read_trusted(path, service_uid=service_uid).decode("utf-8")
    except FileMissing:
        if str(path) == DEFAULT_CONFIG_FILE:
            return []
        raise FileMissing(f"no file {path}", hint="correct `config_file`") from None
    except UnicodeDecodeError as cause:
        raise OpsError(
            f"cannot read {path} ({type(cause).__name__})", code="file.unreadable", hint="check its owner and content"
        ) from None
    document = parse(content, str(path))
    return [
        Source(f"config file {path}: {'.'.join(setting.path)}", {setting: _text(value, setting.path, path)})
        for setting in registry.all_settings()
        if setting.path and (value := _at(document, setting.path)) is not None
    ]


def _config_file(named: object) -> str | None:
    """Return the path of config.yaml, None where there is none."""
    path = Path(str(named or DEFAULT_CONFIG_FILE))
    return None if str(path) == NO_FILE or not path.exists() else str(path)


def _text(value: object, keys: tuple[str, ...], path: Path) -> str:
    """Return the value if it is text. WHY not str(): YAML reads a serial 0123 as 83, and `no` as False."""
    if not isinstance(value, str):
        raise OpsError(
            f"{'.'.join(keys)} is a {type(value).__name__}, expected text (from config file {path})",
            code="settings.type",
            hint="put the value in quotes",
        )
    return value


def _catalogue(given: Params) -> dict[str, tuple[str, ...]]:
    """Return collection -> paths. WHY the check: a lone text would become one path for each of its letters."""
    for name, paths in given.items():
        if (
            not isinstance(paths, list)
            or not paths
            or not all(isinstance(path, str) and path.removeprefix(NO_ENVELOPE).strip() for path in paths)
        ):
            raise OpsError(
                f"catalogue entry {name} is not a list of field paths",
                code="settings.catalogue",
                hint="write it as catalogue: {collection: [field.path]}",
            )
        sealed = {path for path in (*BUILT_IN.get(str(name), ()), *paths) if not path.startswith(NO_ENVELOPE)}
        both = sorted(path for path in paths if path.removeprefix(NO_ENVELOPE) in sealed - {path})
        if both:
            raise OpsError(
                f"catalogue entry {name} says that {both[0].removeprefix(NO_ENVELOPE)} holds no envelope, and it is a "
                "sealed field",
                code="settings.catalogue",
                hint="leave one of the two out; a damaged envelope is repaired or removed, and kek_info names it",
            )
    return {str(name): tuple(paths) for name, paths in given.items()}


def _hsm_variables(
    secrets: Mapping[str, Secret[str]], secrets_file: str | None, environment: Mapping[str, str], known: tuple[str, ...]
) -> dict[str, str]:
    """Return the variables in secrets.env for the HSM's library. Raises OpsError settings.conflict.

    known: how their names begin.
    """
    found = {name: value.reveal() for name, value in secrets.items() if name.startswith(known)}
    for name, value in found.items():
        if environment.get(name, value) != value:
            raise conflict(name, "the environment", f"secrets file {secrets_file}")
    return found


def _named(variables: Mapping[str, Secret[str]]) -> dict[Setting, str]:
    known = registry.all_settings()
    return {setting: variables[setting.variable].reveal() for setting in known if setting.variable in variables}


def _hidden(variables: Mapping[str, str]) -> dict[str, Secret[str]]:
    return {name: Secret(value) for name, value in variables.items()}


def _at(document: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        if not isinstance(document, Mapping) or key not in document:
            return None
        document = document[key]
    return document
