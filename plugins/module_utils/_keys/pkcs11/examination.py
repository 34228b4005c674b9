# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A library, its slots and a token looked at, for pkcs11_info: what cannot be had is a answer, and not a failure.

1 library and slots, without a login   2 our token and its PIN flags   3 login   4 mechanisms, keys, CKM_AES_GCM
5 rate and latency with one process after the other
Each step is taken only where the one before let it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..._domain.errors import OpsError
from ..._domain.pkcs11_settings import Pkcs11Settings
from ..._domain.token_answers import NOT_TRIED, WILL_NOT, WORKS, Answer, gcm_answers, recommended
from ..._domain.values import JsonObject
from ..provider import FirstLogin
from .failures import OF_THE_LIBRARY, RefusedBefore, RunAs
from .jobs import PoolOptions
from .process import Plain
from .provider import Pkcs11Provider

COUNT_LOW = "CKF_USER_PIN_COUNT_LOW"
_PIN_FLAGS = {
    "CKF_USER_PIN_LOCKED": "locked",
    "CKF_USER_PIN_FINAL_TRY": "one try from locked",
    COUNT_LOW: "refused lately",
}

_NOT_LISTED = "C_GetMechanismList does not name it (CKR_MECHANISM_INVALID)"


@dataclass(frozen=True, slots=True)
class Asked:
    """login: try the PIN. noted: somebody else notes a refused PIN. token_key: make and destroy a key of the token.

    parallel: numbers of processes to measure with. seconds: for each of them.
    """

    login: bool
    noted: bool
    token_key: bool
    parallel: tuple[int, ...]
    seconds: float


class Examination:
    """One examination. facts: what was found. answers: one for each requirement that came up."""

    def __init__(self, settings: Pkcs11Settings, options: PoolOptions, asked: Asked) -> None:
        self._settings = settings
        self._options = options
        self._asked = asked
        self.facts: dict[str, Plain] = {
            "library": None, "slots": None, "token": None, "mechanisms": None, "gcm": None, "token_key": None,
            "session_cap": None, "rates": None, "recommended_workers": None,
        }  # fmt: skip
        self.answers: list[Answer] = []

    def run(self, first_login: FirstLogin | None) -> JsonObject:
        """Return facts, requirements and whether the token is fit, None where not all was tried.

        Raises OpsError dependency.missing, pkcs11.run_as, pkcs11.pin_refused_before.
        """
        if self._looked_at() and self._pin_may_be_tried():
            self._logged_in(first_login)
        unfit = [answer for answer in self.answers if answer.answer == WILL_NOT]
        left_out = any(answer.answer == NOT_TRIED for answer in self.answers) or not self._asked.login
        return {
            **self.facts,
            "requirements": [answer.as_result() for answer in self.answers],
            "fit": False if unfit else None if left_out else True,
        }

    def _looked_at(self) -> bool:
        """Return whether our token was found."""
        provider = Pkcs11Provider(self._settings, replace(self._options, workers=1, login=False))
        try:
            if self._fails("a library that can be loaded and initialised", provider.open):
                return False
            self.facts["library"] = provider.library
            if self._fails("slots that answer", lambda: self._keep("slots", provider.ask("slots"))):
                return False
            return not self._fails(
                "one token with this label and serial number", lambda: self._keep("token", provider.ask("our_token"))
            )
        finally:
            provider.close()

    def _pin_may_be_tried(self) -> bool:
        flags = [flag for flag in self.facts["token"]["flags"] if flag in _PIN_FLAGS]
        stops = [flag for flag in flags if flag != COUNT_LOW or not self._asked.noted]
        told = ", ".join(f"{flag} ({_PIN_FLAGS[flag]})" for flag in flags)
        if stops:
            self.answers.append(Answer("a user PIN that may be tried", WILL_NOT, f"{told}; no login was tried"))
        else:
            self.answers.append(Answer("a user PIN that may be tried", WORKS, told))
        return not stops and self._asked.login

    def _logged_in(self, first_login: FirstLogin | None) -> None:
        most = max(self._asked.parallel, default=1)
        provider = Pkcs11Provider(self._settings, replace(self._options, workers=most))
        try:
            if self._fails("a login with the user PIN", lambda: provider.open(first_login)):
                return
            self.facts["session_cap"] = provider.session_cap
            self._keep("mechanisms", provider.ask("mechanisms"))
            for wanted in ("CKM_AES_GCM", "CKM_AES_KEY_GEN"):
                there = wanted in self.facts["mechanisms"]
                self.answers.append(Answer(wanted, WORKS) if there else Answer(wanted, WILL_NOT, _NOT_LISTED))
            if self._fails("an AES-256 key of the session", lambda: self._keep("gcm", provider.ask("gcm"))):
                return
            self.answers += gcm_answers(self.facts["gcm"])
            self._make_a_key(provider)
            if self.facts["gcm"]["iv_mode"] is not None:
                self._measure(provider)
        finally:
            provider.close()

    def _make_a_key(self, provider: Pkcs11Provider) -> None:
        wanted = "an AES-256 key of the token that cannot leave it"
        if not self._asked.token_key:
            how = "say `token_key: true` to have one made and destroyed again"
            self.answers.append(Answer(wanted, NOT_TRIED, how))
        else:
            self._fails(wanted, lambda: self._keep("token_key", provider.ask("token_key")))

    def _measure(self, provider: Pkcs11Provider) -> None:
        there = len(provider.worker_pids)
        rates: list[Mapping[str, float]] = []
        for workers in sorted({number for number in self._asked.parallel if number <= there}):
            spent = provider.measure(workers, self._asked.seconds)
            rates.append({"workers": workers, **_rate(spent, self._asked.seconds)})
        self.facts["rates"] = rates
        by_workers = {int(one["workers"]): one["calls_per_second"] for one in rates}
        self.facts["recommended_workers"] = recommended(by_workers, session_cap=self.facts["session_cap"])

    def _keep(self, name: str, value: object) -> None:
        self.facts[name] = value

    def _fails(self, requirement: str, call: Callable[[], object]) -> bool:
        """Take a step; return whether it failed, which is then a answer. Raises what says nothing about the token."""
        try:
            call()
        except OpsError as failure:
            if isinstance(failure, (RefusedBefore, RunAs)) or OF_THE_LIBRARY not in failure.facts:
                raise
            self.answers.append(Answer(requirement, WILL_NOT, f"{failure.code}: {failure.message}"))
            return True
        self.answers.append(Answer(requirement, WORKS))
        return False


def _rate(spent: Sequence[float], seconds: float) -> dict[str, float]:
    ordered = sorted(spent)
    if not ordered:
        return {"calls_per_second": 0.0, "latency_ms": 0.0, "latency_p99_ms": 0.0}
    return {
        "calls_per_second": round(len(ordered) / seconds, 1),
        "latency_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "latency_p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
    }
