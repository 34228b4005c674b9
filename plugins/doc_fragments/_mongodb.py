# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Says the same as MONGODB in module_utils/_module/arguments.py; a unit test compares them.
    DOCUMENTATION = r"""
options:
  mongodb_uri:
    description:
      - URI of the installation's MongoDB, credentials percent-encoded (RFC 3986).
      - Prefer O(mongodb_uri_file), or leave both out where O(secrets_file) has C(CERTAUTOPILOT_DATABASE_URI).
    type: str
  mongodb_uri_file:
    description: File that holds the URI, mode C(0600).
    type: path
  mongodb_database:
    description: Name of the database. Taken from C(database.name) in O(config_file) or from the URI's path when
      left out.
    type: str
  mongodb_tls:
    description:
      - Whether the connection to MongoDB is encrypted, where the URI does not say it. What the URI says otherwise is
        refused; neither wins.
      - A connection to another host that is not encrypted, or whose certificate is not verified, is warned of.
    type: bool
  mongodb_tls_ca_file:
    description: File with the certificates, in PEM, of the CAs that are trusted for MongoDB, instead of the host's.
    type: path
  mongodb_tls_certificate_key_file:
    description: File with this client's certificate and its key, in PEM, for a server that asks for one.
    type: path
  config_file:
    description:
      - The installation's C(config.yaml). The default file may be absent; a file that is named must exist.
      - A value that two sources give differently is refused; neither wins.
      - V(/dev/null) for an installation that has none yet.
    type: path
    default: /etc/certautopilot/config.yaml
  secrets_file:
    description:
      - The installation's C(secrets.env), mode C(0600). The default file may be absent; a file that is named must
        exist.
      - V(/dev/null) for an installation that has none yet.
    type: path
    default: /etc/certautopilot/secrets.env
  service_user:
    description:
      - User as which the service runs, where files belong to it. Files are believed only where root, the user that
        runs the module or this one owns them, and nobody else can write them. Links are not followed.
    type: str
    default: ""
  catalogue:
    description:
      - More sealed fields, as a dictionary of collection to a list of dotted paths; an element of an array is C(*).
      - Added to the built-in catalogue. An envelope that is in neither stops every module that must find all of them.
      - A path that begins with C(!) says that what is there only looks like an envelope. A whole envelope is taken for
        one all the same. What is said so is noted in the journal of the database.
    type: dict
    default: {}
requirements:
  - python >= 3.11
  - pymongo >= 4.9
  - cryptography >= 44.0.1
  - PyYAML >= 6.0
"""
