# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SoftHSM2 token for one test, and PyKCS11's view of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.softhsm import module_path
from tests.support.token_oracle import ask

PIN = "pin-7391-of-the-test"
SO_PIN = "so-5520-of-the-test"


@dataclass(frozen=True)
class Token:
    """A SoftHSM2 token that nobody else uses. `oracle` asks PyKCS11 about it, in a process of its own."""

    conf: str
    label: str

    def settings(self, **changes: str) -> dict[str, str]:
        return {"module_path": module_path(), "token_label": self.label, "pin": PIN, **changes}

    def oracle(self, do: str, **order: Any) -> Any:
        return ask(self.conf, module_path(), do=do, **{"token": self.label, "pin": PIN, "so_pin": SO_PIN, **order})

    def keys(self) -> list[dict[str, Any]]:
        return self.oracle("keys")
