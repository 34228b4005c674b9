# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's guard messages, word for word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import vendor_messages

MAY = datetime(2026, 5, 1, 9, 0, 0)
AUGUST = datetime(2025, 8, 15, 9, 0, 0, tzinfo=UTC)


def test_provider_mismatch_reads_as_the_vendor_wrote_it():
    assert vendor_messages.provider_mismatch("pkcs11", MAY, "env").message == (
        'KEK provider mismatch: installed="pkcs11" (since 2026-05-01T09:00:00Z) but config says "env". '
        "Provider is immutable after install."
    )


def test_init_on_an_env_lock_reads_as_the_vendor_wrote_it():
    assert vendor_messages.init_on_foreign_lock("env", AUGUST, "service").message == (
        'refusing to run: this database is locked for provider="env" (since 2025-08-15T09:00:00Z by service). '
        'pkcs11-init cannot run against a "env"-locked installation.'
    )


def test_rotation_across_providers_says_so_and_points_to_the_guide():
    refusal = vendor_messages.rotate_across_providers("env", "pkcs11")

    assert refusal.message.startswith("kek rotate cannot cross the provider boundary")
    assert vendor_messages.MIGRATION_GUIDE in refusal.hint


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678000), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05Z"),
        (None, "unknown"),
        ("2026", "unknown"),
    ],
)
def test_instants_are_rfc3339_in_utc(instant, text):
    assert vendor_messages.rfc3339(instant) == text
