# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call from Ansible into a verb and one way back: arguments, settings, the verb, result or structured failure.

No rule is here. An exception nobody expected is reported by its type and place only, because its text may hold what it
was working on.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ansible.module_utils.basic import AnsibleModule

from .._domain.errors import OpsError
from .._domain.file_failures import file_failure
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._domain.visible import visible
from .._keys import registry
from .._keys.pkcs11.worker.private_memory import keep_private
from .._store.opening import warn_of_connection
from . import dependencies, redaction, signals
from .arguments import EXCLUSIVE, SOURCE_EXCLUSIVE, Spec
from .configuration import SOURCE_PREFIX, settings_from, settings_of_source
from .json_values import plain_object

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

INSTALLATION_NEEDS = ("pymongo", "cryptography", "yaml")
SHORT_PIN = 6  # characters

Options = TypeVar("Options", bound="DataclassInstance")
Options_contra = TypeVar("Options_contra", bound="DataclassInstance", contravariant=True)


class Verb(Protocol[Options_contra]):
    """`run` of a file in `_verbs`."""

    def __call__(
        self, settings: Settings, options: Options_contra, *, check: bool, warn: Callable[[str], None]
    ) -> Result: ...


def run_module(
    spec: Spec, options: type[Options], verb: Verb[Options], *, needs: Sequence[str] = (), installed: bool = True,
    timed: bool = False, database: bool = True, source: bool = False,
) -> None:  # fmt: skip
    """Run a verb as a module and exit.

    spec: the module's argument spec. options: the verb's Options. needs: libraries beyond those that every verb uses.
    installed: False for a verb that reads no settings. database: False for one that can do without a database. timed:
    the result has `elapsed_s`, the seconds that the verb took without what Ansible adds: a report tells the two apart.
    source: the spec has options of a second installation, whose settings the verb gets as its option `source`.
    """
    keep_private()  # before the options are read: a PIN or a URI may be among them
    module = _module(spec, installed=installed, source=source)
    failure: OpsError | None = None
    answer: JsonObject = {}
    try:
        with signals.unwinding():
            dependencies.require(*_needed(installed=installed, database=database), *needs)
            answer = _answer(module, options, verb, installed=installed, source=source, timed=timed)
    except OpsError as refusal:
        failure = refusal
    except signals.Stopped as stopped:
        failure = stopped.as_failure()
    except OSError as cause:
        # SAFE BECAUSE only the path is shown, and it is one that was named or made by us; the net under `failures_of`.
        named = isinstance(cause.filename, str)
        failure = file_failure(cause.filename, cause, writing=True) if named else unexpected(cause)
    except Exception as surprise:  # noqa: BLE001 - the last net: whatever escapes must not print its text
        failure = unexpected(surprise)
    # WHY down here: inside `except`, fail_json adds the pending traceback at -vvv, and its last line is that text.
    if failure is not None:
        module.fail_json(**plain_object(failure.as_result()))
    module.exit_json(**answer)


def _needed(*, installed: bool, database: bool) -> tuple[str, ...]:
    if not installed:
        return ()
    return INSTALLATION_NEEDS if database else ("yaml",)


def _answer(
    module: AnsibleModule, options: type[Options], verb: Verb[Options], *, installed: bool, source: bool, timed: bool
) -> JsonObject:
    """Run the verb; return what Ansible is to print."""
    given = set(module.no_log_values)  # by options; Ansible shows those in `invocation`, so they stay masked
    warn = partial(_warn, module)
    settings = _settings(module, warn) if installed else Settings()
    second = {"source": _source(module, warn)} if source else {}
    began = time.monotonic()
    options_of_verb = _options(options, {**module.params, **second})
    result = verb(settings, options_of_verb, check=module.check_mode, warn=warn)
    answer = plain_object(result.as_result(diff=bool(module._diff)))
    if timed:
        answer["elapsed_s"] = round(time.monotonic() - began, 3)
    for one in (settings, *second.values()):
        _keep_names(module, one, answer, given)
    return answer


def unexpected(surprise: Exception) -> OpsError:
    """Return the failure for an exception that no verb foresaw: its type and where it came from, not what it says."""
    frames = traceback.extract_tb(surprise.__traceback__)
    ours = [frame for frame in frames if "certautopilot" in frame.filename] or list(frames)
    place = f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}" if ours else "unknown place"
    return OpsError(
        f"unexpected {type(surprise).__name__} at {place}",
        code="internal.unexpected",
        hint="this is a fault of the collection: report it with this line; what was written before it stays, and "
        "running again is safe",
    )


def _module(spec: Spec, *, installed: bool, source: bool) -> AnsibleModule:
    pairs = (*(EXCLUSIVE if installed else ()), *(SOURCE_EXCLUSIVE if source else ()))
    exclusive = [list(pair) for pair in pairs]
    return AnsibleModule(argument_spec=dict(spec), mutually_exclusive=exclusive, supports_check_mode=True)


def _warn(module: AnsibleModule, text: str) -> None:
    """Warn, with what nobody can see as codes: the text may have a name of the database in it (X28)."""
    module.warn(visible(text))


def _settings(module: AnsibleModule, warn: Callable[[str], None]) -> Settings:
    for option in ("pkcs11_pin", f"{SOURCE_PREFIX}pkcs11_pin"):
        pin = module.params.get(option)
        if pin is not None and len(pin) < SHORT_PIN:
            warn(
                f"{option} has fewer than {SHORT_PIN} characters: Ansible would mask it inside other output and so "
                f"reveal it; use {option}_file"
            )
    return _masked(module, settings_from(module.params, environment=os.environ, warn=warn), warn)


def _source(module: AnsibleModule, warn: Callable[[str], None]) -> Settings:
    return _masked(module, settings_of_source(module.params, environment=os.environ, warn=warn), warn)


def _masked(module: AnsibleModule, settings: Settings, warn: Callable[[str], None]) -> Settings:
    """Have Ansible mask what is secret in settings, and see that their provider's libraries are there."""
    module.no_log_values.update(redaction.masked_values(settings))
    dependencies.require(*registry.needs(settings))
    warn_of_connection(settings, warn)
    return settings


def _keep_names(module: AnsibleModule, settings: Settings, answer: JsonObject, given: set[str]) -> None:
    """Have Ansible leave names and paths of the result whole, though a secret is a word in them; warn of that (X37)."""
    words = redaction.words_in(settings, answer)
    left = {word for word in words if word not in given}
    module.no_log_values -= left
    # WHY not which: whoever reads the log would know whose words to try.
    for some, consequence in (
        (left, "names and paths of this result are not masked for it"),
        (words - left, "names and paths of this result are masked; give it in a file instead of an option"),
    ):
        if some:
            module.warn(f"a secret of this installation is an ordinary word: {consequence}; choose another, by chance")


def _options(options: type[Options], params: Mapping[str, object]) -> Options:
    """Return the verb's options: the parameters of the same names, lists as tuples, absent ones at their default."""
    given = {field.name: params[field.name] for field in fields(options) if params.get(field.name) is not None}
    make: Callable[..., Options] = options
    return make(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
