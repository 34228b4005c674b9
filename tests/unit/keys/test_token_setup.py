# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done for a token, by what the slots answer: made at most once, and only where nothing can be lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.token_setup import Step, next_step

SETTINGS = Pkcs11Settings("/lib/softhsm.so", "kek")
READY = ["CKF_TOKEN_INITIALIZED", "CKF_USER_PIN_INITIALIZED"]
HALF = ["CKF_TOKEN_INITIALIZED"]


def slot(number, label="", flags=(), serial="", maker="SoftHSM project"):
    token = {"label": label, "serial": serial or f"{number:016x}", "manufacturer": maker, "flags": list(flags)}
    return {"slot": number, "answer": "CKR_OK", "token": token}


EMPTY = {"slot": 9, "answer": "CKR_OK", "token": None}
SICK = {"slot": 8, "answer": "CKR_DEVICE_ERROR", "token": None}
FREE = slot(5)


@pytest.mark.parametrize(
    ("slots", "does", "number"),
    [
        ([slot(1, "kek", READY), FREE], "nothing", 1),
        ([slot(1, "kek", HALF), FREE], "set_user_pin", 1),
        ([slot(1, "other", READY), EMPTY, FREE], "make_token", 5),
        ([FREE], "make_token", 5),
        ([slot(1, "kek", READY, maker="A vendor"), SICK], "nothing", 1),  # what is there needs no other slot
        ([slot(1, "kek", [*HALF, "CKF_SO_PIN_COUNT_LOW"])], "set_user_pin", 1),
    ],
)
def test_it_is_made_where_there_is_none_completed_where_it_has_no_pin_and_else_left(slots, does, number):
    step = next_step(slots, SETTINGS)

    assert (step.does, step.slot) == (does, number)
    assert step == Step(does, number, None if does == "make_token" else slots[0]["token"])


@pytest.mark.parametrize(
    ("slots", "changes", "code"),
    [
        ([slot(1, "kek", READY), slot(2, "kek", READY)], {}, "pkcs11.token_ambiguous"),
        ([slot(1, "kek", READY, "a"), slot(2, "kek", READY, "a")], {"token_serial": "a"}, "pkcs11.token_ambiguous"),
        ([slot(1, "kek", READY), FREE], {"token_serial": "feed"}, "pkcs11.token_not_found"),
        ([SICK, FREE], {}, "pkcs11.token_gone"),
        ([slot(1, "other", READY), EMPTY], {}, "pkcs11.no_free_slot"),
        ([], {}, "pkcs11.no_free_slot"),
        ([slot(5, maker="A vendor")], {}, "pkcs11.token_foreign"),
        ([slot(1, "kek", HALF, maker="A vendor")], {}, "pkcs11.token_foreign"),
        ([FREE], {"token_label": "é" * 17}, "pkcs11.token_label"),
        ([slot(1, "kek", [*HALF, "CKF_SO_PIN_FINAL_TRY"])], {}, "pkcs11.so_pin_refused"),
        ([slot(1, "kek", [*HALF, "CKF_SO_PIN_LOCKED"])], {}, "pkcs11.so_pin_refused"),
    ],
)
def test_what_could_be_the_wrong_token_or_wipe_one_is_refused(slots, changes, code):
    with pytest.raises(OpsError) as refused:
        next_step(slots, replace(SETTINGS, **changes))

    assert (refused.value.code, refused.value.facts["pkcs11"]["module_path"]) == (code, "/lib/softhsm.so")


def test_the_serials_of_a_label_that_is_there_twice_are_told_and_one_that_is_named_is_taken():
    slots = [slot(1, "kek", READY, "aaaa"), slot(2, "kek", READY, "bbbb")]

    with pytest.raises(OpsError) as refused:
        next_step(slots, SETTINGS)

    assert "serials: aaaa, bbbb" in refused.value.message
    assert next_step(slots, replace(SETTINGS, token_serial="bbbb")).slot == 2
