# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds after an export of certificates: openssl on the host reads what was written there."""

from __future__ import annotations

import json

DEST = "/var/backups/certautopilot/certificates"


def test_each_certificate_of_the_database_is_in_the_index_and_each_key_fits(sides, nodes):
    index = json.loads(sides.hosts.run(nodes[0], ["cat", f"{DEST}/index.json"]).stdout)
    count = int(sides.database("client.certautopilot.certificates.count_documents({})"))
    keys = int(sides.database("client.certautopilot.certificate_private_keys.count_documents({})"))
    fits = (
        f"for key in $(find {DEST} -name key.pem); do "
        '[ "$(openssl pkey -in "$key" -pubout)" = "$(openssl x509 -in "${key%key.pem}cert.pem" -noout -pubkey)" ] '
        "&& echo fits; done"
    )
    said = sides.hosts.run(nodes[0], ["bash", "-c", fits]).stdout.split()

    assert len(index["certificates"]) == count > 0
    assert said == ["fits"] * keys


def test_files_are_private(sides, nodes):
    found = sides.hosts.run(nodes[0], ["find", DEST, "-type", "f", "!", "-perm", "0600"]).stdout

    assert found == ""
