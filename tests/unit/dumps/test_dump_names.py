# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files in a backup: mongorestore must read the collection's name out of them, in old and new releases."""

from __future__ import annotations

import base64
import hashlib

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._dumps.dump import file_name


@pytest.mark.parametrize(
    ("collection", "name"),
    [
        ("dns_credentials", "dns_credentials"),
        ("fs.files", "fs.files"),
        ("a+b c", "a%2Bb%20c"),  # a bare "+" would be read as a blank
        ("a/b%2F:*", "a%2Fb%252F%3A%2A"),
        ("zöne", "z%C3%B6ne"),
    ],
)
def test_every_character_that_a_reader_may_take_for_another_is_encoded(collection, name):
    assert file_name(collection) == name


@pytest.mark.parametrize("collection", ["x" * 239, "證" * 60, "證" * 26 + "abcde"])
def test_x83_a_name_too_long_for_a_file_is_shortened_as_mongodump_does_it(collection):
    name = file_name(collection)

    kept, digest = name[:208], base64.urlsafe_b64decode(name[211:] + "=")
    assert (name[208:211], len(name)) == ("%24", 238)
    assert kept == "".join(c if c.isascii() else encoded(c) for c in collection)[:208]
    assert digest == hashlib.sha1(collection.encode()).digest()


def encoded(character):
    return "".join(f"%{byte:02X}" for byte in character.encode())


def test_a_name_that_just_fits_is_kept_whole():
    assert file_name("x" * 238) == "x" * 238
