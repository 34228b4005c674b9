# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEKs inside an HSM: the `pkcs11` provider, and the verbs that pkcs11-init and pkcs11-info need beside it.

Nothing is loaded before `open`: making one of these is how an operation says what it would use, not that it used it.
All PKCS#11 work happens in worker processes (ADR-0005).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

from ..._domain.key_names import KeyCount, KeyReference
from ..._domain.pkcs11_settings import Pkcs11Settings
from ..._domain.values import JsonObject
from ..provider import FirstLogin, KeyFailure, UnwrapRequest, WrapRequest, proof_marks
from .failures import failure
from .jobs import Job, PoolOptions
from .pool import WorkerPool

_BATCH = 250  # items of one request at most: the pipe then costs about 1 % of SoftHSM2's crypto
_FIRST = 0.8  # of what is left goes out at once, the rest to those who are done first; see `cut`


class Pkcs11Provider:
    """The `pkcs11` provider. Implements `provider.Provider`; open, load, use, close."""

    name = "pkcs11"
    device = True

    def __init__(self, settings: Pkcs11Settings, options: PoolOptions | None = None) -> None:
        self._settings = settings
        self._options = options or PoolOptions()
        self._pool: WorkerPool | None = None
        self._check_values: dict[int, str | None] = {}

    @property
    def key_admin(self) -> Pkcs11Provider:
        """Return itself: it keeps `provider.KeyAdmin` too."""
        return self

    def __repr__(self) -> str:
        return f"Pkcs11Provider({self._settings.module_path!r}, {self._settings.token_label!r}, {self.versions()})"

    def __enter__(self) -> Pkcs11Provider:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, first_login: FirstLogin | None = None) -> None:
        """Start the workers and log in; nothing when they run already. Raises OpsError dependency.missing, pkcs11.*.

        first_login: entered before the library is loaded, left when one worker is logged in; it may refuse.
        """
        if self._pool is not None:
            return
        if self._options.login and not self._settings.pin:
            raise failure(self._settings, "pkcs11.pin_missing", "no user PIN is set")
        pool = WorkerPool(self._settings, self._options)
        pool.open(first_login)
        self._pool = pool

    def close(self) -> None:
        """Log out and end the workers. Safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def ask(self, operation: str, *arguments: object) -> object:
        """Return what one worker answers to one of the operations of `worker/examine.py`. Never repeated by itself."""
        return self._opened().run([Job(operation, arguments, repeatable=False)])[0]

    def measure(self, workers: int, seconds: float) -> list[float]:
        """Return how long each wrap took in so many workers at once, in s. Raises OpsError pkcs11.*."""
        answers: list[list[float]] = self._opened().run([Job("measure", (seconds,), repeatable=False)] * workers)
        return [spent for answer in answers for spent in answer]

    # -- the token and its keys --------------------------------------------------------------------------------------

    def probe(self) -> JsonObject:
        """Return what the module and token can do, JSON-clean, each found by trying with a key of the session.

        library, manufacturer, cryptoki_version, token_label, token_serial, token_model, token_flags, mechanisms,
        mechanism_count, key_generation, iv_mode (caller, in_place, appended), iv_zeroed, tag_checked, aad_checked,
        session_cap (None = unlimited or not told), rate {calls_per_second, latency_ms}, workers.
        Raises OpsError pkcs11.mechanism_missing, key_generation_refused, probe_failed.
        """
        pool = self._opened()
        found: JsonObject = pool.run([Job("probe", ())])[0]
        return {**found, "module_path": self._settings.module_path, "workers": len(pool.pids())}

    def find_key(self, label: str, key_id: bytes) -> KeyCount:
        """Return how many secret keys carry the label, and how many the id."""
        by_label, by_id = self._opened().run([Job("count", (label, key_id))])[0]
        return KeyCount(by_label, by_id)

    def generate_key(self, label: str, key_id: bytes) -> JsonObject:
        """Make an AES-256 key that never leaves the token and return its description, see `describe_key`.

        Raises OpsError pkcs11.key_exists when label or id is taken, pkcs11.key_generation_refused. Never repeated by
        itself: after pkcs11.worker_crashed or a timeout `find_key` tells whether the key was made.
        """
        described: JsonObject = self._opened().run([Job("generate", (label, key_id), repeatable=False)])[0]
        return described

    def destroy_key(self, label: str, key_id: bytes, check_value: str | None) -> None:
        """Destroy the one key that has both names and shows this check value. There is no way back.

        Raises OpsError pkcs11.key_not_found, key_ambiguous, wrong_key. Never repeated by itself.
        """
        self._opened().run([Job("destroy", (label, key_id, check_value), repeatable=False)])

    def describe_key(self, label: str, key_id: bytes) -> JsonObject:
        """Return label, id, bits, key_type, check_value and the flags of the one key that has both names.

        Flags: token, private, sensitive, always_sensitive, extractable, never_extractable, local, encrypt, decrypt,
        wrap, unwrap, sign, derive, modifiable; None for what the token does not tell.
        Raises OpsError pkcs11.key_not_found, key_ambiguous, wrong_key with both counts.
        """
        described: JsonObject = self._opened().run([Job("describe", (label, key_id))])[0]
        return described

    def load(self, references: Mapping[int, KeyReference]) -> None:
        """Look up the key of every version, once in each worker; exactly these versions can be used from then on.

        Raises OpsError pkcs11.key_not_found, key_ambiguous, wrong_key.
        """
        wanted = {
            version: (reference.label, reference.key_id, reference.check_value)
            for version, reference in references.items()
        }
        values: list[dict[int, str | None]] = self._opened().on_every_worker(Job("load", (wanted,)))
        self._check_values = values[0]

    # -- Provider ------------------------------------------------------------------------------------------------------

    @property
    def retries(self) -> int:
        """Return how many HSM calls and batches had to be made again, because a fault cost them."""
        return self._pool.retries if self._pool is not None else 0

    @property
    def library(self) -> str:
        """Return the library's description and version, "" before it is loaded."""
        return str(self._pool.info.get("library", "")) if self._pool is not None else ""

    @property
    def session_cap(self) -> int | None:
        """Return how many sessions the token gives, None for any number or where it does not say."""
        cap = self._pool.info.get("session_cap") if self._pool is not None else None
        return cap if isinstance(cap, int) else None

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Return the process ids of the living workers."""
        return self._pool.pids() if self._pool is not None else ()

    def versions(self) -> tuple[int, ...]:
        """Return the loaded KEK versions, ascending."""
        return tuple(sorted(self._check_values))

    def check_value(self, version: int) -> str | None:
        """Return 6 hex characters, None where the token does not tell. Raises provider.version_not_loaded."""
        self._require(version)
        return self._check_values[version]

    def wrap(self, version: int, requests: Sequence[WrapRequest]) -> list[bytes | KeyFailure]:
        """Return one 60-byte wrap or failure per request, each opened again by the HSM. Raises OpsError pkcs11.*."""
        self._require(version)
        return self._in_batches("wrap", (version,), [(request.dek, request.aad) for request in requests])

    def unwrap(self, requests: Sequence[UnwrapRequest], *, trial: bool = False) -> list[bytes | KeyFailure]:
        """Return one 32-byte DEK or failure per request, in order. Raises OpsError pkcs11.*."""
        return self._in_batches(
            "try" if trial else "unwrap", (), [(item.version, item.wrapped, item.aad) for item in requests]
        )

    def rewrap(
        self, to_version: int, requests: Sequence[UnwrapRequest], *, prove: Collection[int] | None = None
    ) -> list[bytes | KeyFailure]:
        """Return one new wrap of the same DEK per request, those in `prove` (None = all) opened again by the HSM.

        Raises OpsError pkcs11.*, provider.version_not_loaded.
        """
        self._require(to_version)
        marks = proof_marks(len(requests), prove)
        items = [(item.version, item.wrapped, item.aad, mark) for item, mark in zip(requests, marks, strict=True)]
        return self._in_batches("rewrap", (to_version,), items)

    def _in_batches(
        self, operation: str, leading: tuple[object, ...], items: Sequence[object]
    ) -> list[bytes | KeyFailure]:
        pool = self._opened()
        parts, start = [], 0
        for size in cut(len(items), max(1, len(pool.pids()))):
            parts.append(items[start : start + size])
            start += size
        answers = pool.run([Job(operation, (*leading, part), len(part)) for part in parts])
        return [item if isinstance(item, bytes) else KeyFailure(*item) for answer in answers for item in answer]

    def _require(self, version: int) -> None:
        if version not in self._check_values:
            raise failure(
                self._settings,
                "provider.version_not_loaded",
                f"KEK version {version} is not loaded, loaded: {list(self.versions())}",
            )

    def _opened(self) -> WorkerPool:
        if self._pool is None:
            raise failure(self._settings, "pkcs11.not_open", "the provider was used before it was opened")
        return self._pool


def cut(count: int, workers: int) -> list[int]:
    """Return the sizes of the parts of a batch, in the order in which workers that are free take them.

    In rounds of one equal part for each worker: four fifths of the batch, four fifths of the rest, and so on. A worker
    that falls behind then holds up the others for little, and equal ones ask the parent four times instead of once.
    """
    sizes: list[int] = []
    while count:
        size = min(_BATCH, max(1, int(count * _FIRST / workers))) if workers > 1 else _BATCH
        for _number in range(workers):
            sizes.append(min(size, count))
            count -= sizes[-1]
            if not count:
                break
    return sizes
