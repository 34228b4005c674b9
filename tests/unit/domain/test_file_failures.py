# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system says of a path becomes a stable code, with the path and the errno's name in the message."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import FileMissing, OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.file_failures import failures_of, file_failure


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ENOSPC", "file.no_space"),
        ("EDQUOT", "file.no_space"),
        ("EFBIG", "file.too_large"),
        ("ENAMETOOLONG", "file.name_too_long"),
        ("EISDIR", "file.kind"),
        ("ENOTDIR", "file.kind"),
        ("ELOOP", "file.kind"),
        ("EACCES", "file.not_writable"),
        ("EROFS", "file.not_writable"),
        ("EIO", "file.not_writable"),
        ("ENOENT", "file.not_writable"),
    ],
)
def test_x83_each_cause_has_its_code_and_is_named(name, code):
    number = getattr(errno, name)

    failure = file_failure("/backup/x", OSError(number, os.strerror(number)), writing=True)

    assert (failure.code, "/backup/x" in failure.message, name in failure.message) == (code, True, True)
    assert failure.hint


def test_x83_what_cannot_be_read_is_not_said_to_be_unwritable():
    denied, gone = (OSError(number, os.strerror(number)) for number in (errno.EACCES, errno.ENOENT))

    assert file_failure("/x", denied, writing=False).code == "file.unreadable"
    assert isinstance(file_failure("/x", gone, writing=False), FileMissing)


def test_x83_an_error_without_number_or_words_is_named_by_its_type():
    failure = file_failure("/x", OSError(), writing=True)

    assert (failure.code, "OSError" in failure.message) == ("file.not_writable", True)


def test_x83_a_block_names_its_own_path_and_shows_nothing_of_the_cause():
    with pytest.raises(OpsError) as refused, failures_of("/backup/x"):
        raise OSError(errno.ENOSPC, "No space left on device", "/backup/.unfinished")

    assert "/backup/x: No space left on device (ENOSPC)" in refused.value.message
    assert refused.value.__cause__ is None
    assert ".unfinished" not in refused.value.message
