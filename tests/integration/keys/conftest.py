# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SoftHSM2 of its own for each test, the provider over it, and a small vendor's library that misbehaves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.key_names import KeyReference
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import UnwrapRequest, WrapRequest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support import hsm_shim
from tests.support.token_oracle import ask

SOFTHSM = next(
    (
        path
        for path in (
            os.environ.get("SOFTHSM2_MODULE", ""),
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
            "/usr/local/lib/softhsm/libsofthsm2.so",
        )
        if path and Path(path).exists()
    ),
    "",
)
PIN = "pin-7391-of-the-test"
SO_PIN = "so-5520-of-the-test"
INSTALL_ID = bytes(range(16))
AAD = bytes(range(32))

# Prints on standard output as some vendors do, then is SoftHSM2; dies or hangs when its variable says so.
NOISY_LIBRARY = r"""
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
unsigned long C_GetFunctionList(void **list) {
    printf("vendor's library 1.0 says hello\n");
    fflush(stdout);
    fprintf(stderr, "vendor's library: log of pin %s\n", getenv("NOISY_SAYS") ? getenv("NOISY_SAYS") : "-");
    fflush(stderr);
    if (getenv("NOISY_CRASHES")) raise(SIGSEGV);
    if (getenv("NOISY_HANGS")) for (;;) pause();
    void *softhsm = dlopen(getenv("NOISY_MODULE"), RTLD_NOW);
    unsigned long (*next)(void **) = dlsym(softhsm, "C_GetFunctionList");
    return next(list);
}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs SoftHSM2 where there is none."""
    if SOFTHSM:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no SoftHSM2 here; set SOFTHSM2_MODULE"))


@dataclass(frozen=True)
class Hsm:
    """A SoftHSM2 with one token, and the oracle's way to it."""

    conf: str
    token: str
    serial: str

    def settings(self, **changes: Any) -> Pkcs11Settings:
        """Return the settings of this token, with changes."""
        given = {"module_path": SOFTHSM, "token_label": self.token, "pin": PIN, **changes}
        given["environment"] = {"SOFTHSM2_CONF": self.conf, **changes.get("environment", {})}
        given["pin"] = None if given["pin"] is None else Secret(given["pin"])
        return Pkcs11Settings(**given)

    def oracle(self, do: str, **order: Any) -> Any:
        """Return what PyKCS11 says, in a process of its own."""
        return ask(self.conf, SOFTHSM, do=do, **{"token": self.token, "pin": PIN, "so_pin": SO_PIN, **order})


def reference(version: int) -> KeyReference:
    """Return how the key of a version is named, as the contract of the data says."""
    return KeyReference(f"certautopilot-kek-v{version}", INSTALL_ID + version.to_bytes(4, "big"))


def wrap_requests(count: int) -> list[WrapRequest]:
    """Return so many requests, each for a data key of its own."""
    return [WrapRequest(os.urandom(32), AAD) for _number in range(count)]


def unwrap_requests(version: int, wraps: list[Any]) -> list[UnwrapRequest]:
    """Return the requests that open these wraps."""
    return [UnwrapRequest(version, wrap, AAD) for wrap in wraps]


def software_opens(key: AESGCM, wraps: list[Any], asked: list[WrapRequest]) -> bool:
    """Return whether every wrap opens to the data key that was asked for. Raises InvalidTag when one does not open."""
    return [key.decrypt(wrap[:12], wrap[12:], AAD) for wrap in wraps] == [request.dek for request in asked]


@pytest.fixture
def hsm(tmp_path: Path) -> Hsm:
    """A SoftHSM2 configuration and token that nobody else uses."""
    (tmp_path / "tokens").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    serial = ask(str(conf), SOFTHSM, do="init", token="kek-token", pin=PIN, so_pin=SO_PIN)
    return Hsm(str(conf), "kek-token", serial)


@pytest.fixture
def opened(hsm: Hsm) -> Iterator[Callable[..., Pkcs11Provider]]:
    """Return a function that opens a provider; all are closed in the end."""
    providers: list[Pkcs11Provider] = []

    def open_provider(options: PoolOptions | None = None, **changes: Any) -> Pkcs11Provider:
        provider = Pkcs11Provider(hsm.settings(**changes), options)
        providers.append(provider)
        provider.open()
        return provider

    yield open_provider
    for provider in providers:
        provider.close()


@pytest.fixture
def loaded(opened: Callable[..., Pkcs11Provider]) -> Callable[..., Pkcs11Provider]:
    """Return a function that opens a provider with versions 1 and 2 made and loaded."""

    def load_provider(options: PoolOptions | None = None, **changes: Any) -> Pkcs11Provider:
        provider = opened(options, **changes)
        for version in (1, 2):
            named = reference(version)
            if provider.find_key(named.label, named.key_id).by_id == 0:
                provider.generate_key(named.label, named.key_id)
        provider.load({1: reference(1), 2: reference(2)})
        return provider

    return load_provider


@pytest.fixture
def known_keys(hsm: Hsm) -> dict[int, AESGCM]:
    """Keys of versions 1 and 2 whose values the test knows: software opens what the HSM sealed, without our code."""
    values = {version: os.urandom(32) for version in (1, 2)}
    for version, value in values.items():
        named = reference(version)
        hsm.oracle("make", label=named.label, id=named.key_id.hex(), value=value.hex())
    return {version: AESGCM(value) for version, value in values.items()}


@pytest.fixture(scope="session")
def noisy_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the misbehaving library; skips where there is no C compiler."""
    compiler = hsm_shim.compiler()
    if compiler is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    folder = tmp_path_factory.mktemp("noisy")
    (folder / "noisy.c").write_text(NOISY_LIBRARY)
    library = folder / "noisy.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "noisy.c", "-ldl"], check=True)
    return str(library)


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the shim over SoftHSM2, see tests/support/hsm_shim.c; skips where there is no C compiler."""
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    return hsm_shim.build(tmp_path_factory.mktemp("shim"))


class Shim:
    """The faulty library for one test. Its processes share one state file; `private` faults are each process's own."""

    def __init__(self, library: str, state: Path) -> None:
        self._library = library
        self._state = state

    def faults(self, **faults: object) -> dict[str, Any]:
        """Return the changes of the settings that put the shim with these faults before the token."""
        return self.private(state=self._state, **faults)

    def private(self, **faults: object) -> dict[str, Any]:
        """Return the same without a shared state: numbers count in each process for itself."""
        return {"module_path": self._library, "environment": hsm_shim.environment(**faults)}

    def counters(self) -> dict[str, int]:
        """Return what all processes with the shared state did."""
        return hsm_shim.counters(self._state)


@pytest.fixture
def shim(shim_library: str, tmp_path: Path) -> Shim:
    """A shim with a state of its own."""
    return Shim(shim_library, tmp_path / "shim.state")
