# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that workers are handed what they need and nothing secret, and that every refusal has a way out."""

from __future__ import annotations

import ast
import marshal
import re
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11 import bootstrap, failures
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider, cut
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import KeyFailure, UnwrapRequest

FOLDER = Path(bootstrap.__file__).parent
WORKER = FOLDER / "worker"
SETTINGS = Pkcs11Settings("/usr/lib/hsm.so", "kek", pin=Secret("314159"))


def test_every_worker_file_is_shipped_after_those_it_imports():
    shipped = []
    for name in bootstrap.SOURCES:
        imported = re.findall(r"^from \.(\w+) import|^from \. import (\w+)", (WORKER / f"{name}.py").read_text(), re.M)
        assert {first or second for first, second in imported} <= set(shipped)
        shipped.append(name)

    assert sorted(shipped) == sorted(path.stem for path in WORKER.glob("*.py") if path.stem != "__init__")


def test_ansiballz_sees_an_import_of_every_worker_file():
    tree = ast.parse(Path(bootstrap.__file__).read_text())
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert set(bootstrap.SOURCES) <= seen


def test_the_program_carries_the_sources_as_they_stand_on_disk():
    _first, sources = marshal.loads(bootstrap.program())

    assert list(sources) == [(name, (WORKER / f"{name}.py").read_bytes()) for name in bootstrap.SOURCES]


def test_t29_no_thread_ever_touches_the_module():
    forbidden = {"threading", "concurrent", "multiprocessing", "_thread"}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & forbidden, path.name


def test_every_code_that_a_worker_or_the_pool_names_has_a_way_out():
    codes = set()
    for path in FOLDER.rglob("*.py"):
        codes |= set(re.findall(r'"((?:pkcs11|dependency|provider)\.[a-z_]+)"', path.read_text()))
    codes -= {"pkcs11.key_id"}

    assert codes <= set(failures._WAYS_OUT)


@pytest.mark.parametrize("code", failures._WAYS_OUT)
def test_a_failure_names_module_token_and_library_and_never_the_pin(code):
    error = failures.failure(SETTINGS, code, "module said: bad pin 314159", library="Vendor 1.2")

    assert error.code == code
    assert error.hint
    assert "/usr/lib/hsm.so" in error.message
    assert '"kek"' in error.message
    assert "Vendor 1.2" in error.message
    assert "314159" not in str(error.as_result())


def test_no_pin_shows_in_the_reprs():
    assert "314159" not in repr(SETTINGS)
    assert "314159" not in repr(Pkcs11Provider(SETTINGS))


class FakePool:
    """Answers each item with its own number, or with a failure; `taken` is what workers were handed, in order."""

    def __init__(self, workers):
        self.workers = workers
        self.taken = []

    def pids(self):
        return tuple(range(self.workers))

    def run(self, jobs):
        self.taken += [item for job in jobs for item in job.arguments[-1]]
        assert [job.planned for job in jobs] == [len(job.arguments[-1]) for job in jobs]
        return [
            [wrapped if prove else ("verification", "") for _version, wrapped, _aad, prove in job.arguments[-1]]
            for job in jobs
        ]


@pytest.mark.parametrize("workers", [1, 3, 16])
@pytest.mark.parametrize("prove", [None, (), {0, 7, 599}])
def test_the_mark_of_each_wrap_to_be_proved_travels_with_its_item(monkeypatch, workers, prove):
    provider, pool = Pkcs11Provider(SETTINGS), FakePool(workers)
    monkeypatch.setattr(provider, "_pool", pool)
    monkeypatch.setattr(provider, "_check_values", {2: None})
    requests = [UnwrapRequest(1, number.to_bytes(60), b"a") for number in range(600)]

    results = provider.rewrap(2, requests, prove=prove)

    proved = set(range(600)) if prove is None else set(prove)
    wanted = [number.to_bytes(60) if number in proved else KeyFailure("verification") for number in range(600)]
    assert pool.taken == [(1, number.to_bytes(60), b"a", number in proved) for number in range(600)]
    assert results == wanted


@pytest.mark.parametrize("place", [-1, 600])
def test_a_place_to_prove_that_the_batch_does_not_have_reaches_no_worker(monkeypatch, place):
    provider, pool = Pkcs11Provider(SETTINGS), FakePool(2)
    monkeypatch.setattr(provider, "_pool", pool)
    monkeypatch.setattr(provider, "_check_values", {2: None})

    with pytest.raises(ValueError, match=str(place)):
        provider.rewrap(2, [UnwrapRequest(1, bytes(60), b"")] * 600, prove={place})

    assert pool.taken == []


@pytest.mark.parametrize("workers", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 250, 500, 501, 10_000])
def test_a_batch_is_cut_into_bounded_parts_that_make_it_up(count, workers):
    sizes = cut(count, workers)

    assert sum(sizes) == count
    assert all(1 <= size <= 250 for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) >= min(count, workers)


@pytest.mark.parametrize(("slowness", "longest"), [(1, 1.04), (2, 1.6), (10, 8)])
def test_a_slow_worker_holds_up_the_others_for_a_bounded_time(slowness, longest):
    done = [0.0] * 16  # when each worker is free again, in units of one item; the first one is slow
    for size in cut(500, 16):
        first_free = done.index(min(done))
        done[first_free] += size * (slowness if first_free == 0 else 1)

    ideal = 500 / (15 + 1 / slowness)
    assert max(done) <= ideal * longest
