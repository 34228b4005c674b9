# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters for secrets.env: hand-written forms are compared by what they say, and no value gets into an error."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.environment_file import FilterModule

FILTERS = FilterModule().filters()
lines, differences = FILTERS["environment_lines"], FILTERS["environment_differences"]
disagreements = FILTERS["environment_disagreements"]

SECRET = 'v a$l`u"e\\'
SAYS_IT = [
    'A="v a$l`u\\"e\\\\"',
    'A="v a\\$l\\`u\\"e\\\\"',
    "A='v a$l`u\"e\\'",
    'A=v a$l`u"e\\\\',
    "  A = 'v a$l`u\"e\\'  ",
    'A=\'v a\'"\\$l\\`u\\"e\\\\"',
    "B=1\nA='v a$l`u\"e\\'\nC=2",
    "A='v a$l`u\"e\\'\r\n",
]
SAYS_SOMETHING_ELSE = [
    "",
    "#A='v a$l`u\"e\\'",
    "; A='v a$l`u\"e\\'",
    "B='v a$l`u\"e\\'",
    "A='v a$l`u\"e\\ '",
    "A='v a$l`u\"e'",
    "A=",
]


@pytest.mark.parametrize("text", SAYS_IT)
def test_every_form_that_systemd_reads_as_the_value_agrees(text):
    assert differences(text, {"A": SECRET}) == []


@pytest.mark.parametrize("text", SAYS_SOMETHING_ELSE)
def test_a_value_that_systemd_would_not_read_is_named(text):
    assert differences(text, {"A": SECRET}) == ["A"]


def test_the_names_come_in_the_order_wanted_and_numbers_are_compared_as_text():
    assert differences("A=1\nC=true\n", {"Z": 1, "A": 1, "C": True}) == ["Z", "C"]


def test_lines_are_written_in_the_order_given_and_only_what_needs_quotes_has_them():
    given = {"B": "plain/-_.:@%+=,?&~1", "A": "two words", "N": 5, "E": ""}

    assert lines(given) == 'B=plain/-_.:@%+=,?&~1\nA="two words"\nN=5\nE=""\n'


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: differences("A=1\nnot-to-be-shown\n", {"A": "not-to-be-shown"}), "file.grammar: secrets.env"),
        (lambda: differences("A='not-to-be-shown", {"A": "not-to-be-shown"}, "/etc/x.env"), "/etc/x.env"),
        (lambda: lines({"A": "not-to-be-shown\0"}), "file.grammar"),
        (lambda: lines({"A B": "not-to-be-shown"}), "file.grammar"),
        (lambda: lines("not-to-be-shown"), "expected a dictionary"),
        (lambda: differences("A=1", ["not-to-be-shown"]), "expected a dictionary"),
    ],
)
def test_an_error_has_its_code_and_place_and_no_value(call, code):
    with pytest.raises(AnsibleFilterError) as caught:
        call()

    assert code in str(caught.value)
    assert "not-to-be-shown" not in repr(caught.value)
    # WHY: Ansible prints the chain of causes too
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_x78_two_files_disagree_in_what_either_of_them_says_otherwise_or_alone():
    one, other = "A=1\nB=2\nC='x y'\n", "# another form\nC=x y\nA = 1\nB=3\nD=4\n"

    assert disagreements(one, other) == ["B", "D"]
    assert disagreements(other, one) == ["B", "D"]


def test_a_file_that_cannot_be_read_is_named_without_its_content():
    with pytest.raises(AnsibleFilterError) as raised:
        disagreements("A=1\n", "not-to-be-shown\n")

    assert "the other secrets.env" in str(raised.value)
    assert "not-to-be-shown" not in str(raised.value)


@pytest.mark.parametrize(
    "secret",
    [
        {"CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN": "1234"},
        {"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1": "00" * 32},
        {"CERTAUTOPILOT_DATABASE_URI": "mongodb://app:word@db/cap"},
        {"VAULT_TOKEN": "s.1"},
        {"SOME_PASSWORD": 4711},
    ],
)
def test_x30_the_environment_of_a_task_is_refused_with_a_secret_which_is_named_only(secret):
    ((name, value),) = secret.items()

    with pytest.raises(AnsibleFilterError, match=r"settings\.environment") as refused:
        FILTERS["without_secrets"]({"SOFTHSM2_CONF": "/etc/softhsm2.conf", **secret})

    assert name in str(refused.value)
    assert str(value) not in str(refused.value)


def test_the_environment_of_a_task_is_passed_on_without_secrets():
    environment = {"SOFTHSM2_CONF": "/etc/x", "SSL_KEY": "/etc/x.pem", "HTTPS_URL": "http://proxy:3128", "A_PIN": ""}

    assert FILTERS["without_secrets"](environment) == environment
