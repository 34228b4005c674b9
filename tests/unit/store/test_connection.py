# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver raises becomes a failure with a way out, without the driver's own text, which may hold values."""

from __future__ import annotations

import types

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError, Unauthorized
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import driver_errors
from pymongo import errors

STORE = types.SimpleNamespace(name="cap", hosts="db.example:27017")
TEXT = "the driver's text with a value of a record"


def refusal(raised):
    with pytest.raises(OpsError) as caught, driver_errors(STORE):
        raise raised
    return caught.value


@pytest.mark.parametrize(
    ("raised", "code", "retryable"),
    [
        (errors.OperationFailure(TEXT, 18), "database.unauthorized", False),
        (errors.OperationFailure(TEXT, 13), "database.unauthorized", False),
        (errors.OperationFailure(TEXT, 112), "database.refused", True),
        (errors.ServerSelectionTimeoutError(TEXT), "database.unreachable", True),
        (errors.PyMongoError(TEXT), "database.error", False),
    ],
)
def test_a_driver_error_is_named_with_database_and_host_and_without_its_text(raised, code, retryable):
    failure = refusal(raised)

    assert (failure.code, failure.retryable) == (code, retryable)
    assert 'database "cap" at db.example:27017' in failure.message
    assert TEXT not in str(failure.as_result())


def test_a_wrong_password_and_a_missing_privilege_have_different_ways_out():
    wrong_password, no_privilege = (refusal(errors.OperationFailure("", code)) for code in (18, 13))

    assert isinstance(wrong_password, Unauthorized)
    assert isinstance(no_privilege, Unauthorized)
    assert "refused the credentials" in wrong_password.message
    assert "CERTAUTOPILOT_DATABASE_URI" in wrong_password.hint
    assert "does not allow this user" in no_privilege.message
    assert "dbAdmin for kek_remove" in no_privilege.hint
