# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit's text says, as systemd reads it: sections, comments, lines that go on, values that take others back."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.unit_file import parse_unit

UNIT = """# /etc/systemd/system/certautopilot.service
[Unit]
Description=x
User=not-here
[Service]
Type=simple
User=certautopilot
Group = certautopilot
EnvironmentFile=/etc/certautopilot/secrets.env
ExecStart=/usr/local/bin/certautopilot serve \\
  --mode all
Restart=on-failure
MemoryDenyWriteExecute=yes
ReadWritePaths=/var/lib/certautopilot \\
# a comment in between
  /var/log/certautopilot
StateDirectory=cap cap2:link
"""


def test_user_group_files_and_sandbox_are_read_and_nothing_that_would_start_the_service():
    unit = parse_unit(UNIT)

    assert (unit.user, unit.group) == ("certautopilot", "certautopilot")
    assert unit.environment_files == ("/etc/certautopilot/secrets.env",)
    assert "ReadWritePaths=/var/lib/certautopilot  /var/log/certautopilot" in unit.sandbox
    assert "ReadWritePaths=-/var/lib/cap" in unit.sandbox
    assert "ReadWritePaths=-/var/lib/cap2" in unit.sandbox
    assert not [line for line in unit.sandbox if line.startswith(("Exec", "Restart", "Type", "State"))]


def test_a_drop_in_comes_later_and_an_empty_value_takes_files_back():
    unit = parse_unit(UNIT + "# drop-in\n[Service]\nUser=other\nEnvironmentFile=\nEnvironmentFile=-/run/other.env\n")

    assert unit.user == "other"
    assert unit.environment_files == ("/run/other.env",)


@pytest.mark.parametrize(
    "line", ["ReadWritePaths=/var/lib/%p", "Environment=HOME=%h", "Environment=CERTAUTOPILOT_JWT_SECRET=hidden"]
)
def test_a_line_with_a_specifier_or_a_secret_is_left_out_and_named(line):
    """What is passed on is in the arguments of systemd-run, which everybody can read."""
    unit = parse_unit(f"[Service]\n{line}\n")

    assert (unit.sandbox, unit.left_out) == ((), (line.partition("=")[0],))


def test_a_percent_sign_that_is_meant_is_none():
    assert parse_unit("[Service]\nEnvironment=A=5%%\n").left_out == ()


def test_a_unit_without_user_runs_as_root():
    assert parse_unit("[Service]\nExecStart=/bin/true\n").user == ""
