# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Says the same as SOURCE in module_utils/_module/arguments.py; a unit test compares them.
    DOCUMENTATION = r"""
options:
  source_mongodb_uri:
    description:
      - URI of the old installation's MongoDB, credentials percent-encoded (RFC 3986). A user who may only read will do.
      - Prefer O(source_mongodb_uri_file), or leave both out where O(source_secrets_file) has
        C(CERTAUTOPILOT_DATABASE_URI).
    type: str
  source_mongodb_uri_file:
    description: File that holds the URI of the old installation's MongoDB, mode C(0600).
    type: path
  source_mongodb_database:
    description: Name of the old database. Taken from O(source_config_file) or from the URI's path when left out.
    type: str
  source_mongodb_tls:
    description: Whether the connection to the old MongoDB is encrypted, where the URI does not say it.
    type: bool
  source_mongodb_tls_ca_file:
    description: File with the certificates, in PEM, of the CAs that are trusted for the old MongoDB.
    type: path
  source_mongodb_tls_certificate_key_file:
    description: File with this client's certificate and its key, in PEM, for an old server that asks for one.
    type: path
  source_config_file:
    description: The old installation's C(config.yaml). There is no default, and variables of the environment that begin
      with C(CERTAUTOPILOT_) are not taken for the old installation's.
    type: path
  source_secrets_file:
    description: The old installation's C(secrets.env), mode C(0600). It has the KEKs of provider V(env), or the PIN.
    type: path
  source_provider:
    description: KEK provider of the old installation. Taken from O(source_config_file) or from its install lock when
      left out.
    type: str
    choices: [env, pkcs11]
  source_pkcs11_module_path:
    description: Absolute path of the HSM vendor's PKCS#11 library for the old token.
    type: path
  source_pkcs11_token_label:
    description: Label of the old token. Exactly one token must have it.
    type: str
  source_pkcs11_token_serial:
    description: Serial number of the old token, where several tokens have the label.
    type: str
  source_pkcs11_pin:
    description:
      - User PIN of the old token. It is tried once. That the token refused it is noted at the destination, because
        nothing is written to the old installation.
      - Prefer O(source_pkcs11_pin_file), or leave both out where O(source_secrets_file) has
        C(CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN).
    type: str
  source_pkcs11_pin_file:
    description: File that holds the user PIN of the old token, mode C(0600).
    type: path
  source_pkcs11_run_as:
    description: User as whom the library for the old token is called, as O(pkcs11_run_as) says of the new one.
    type: str
  source_pkcs11_timeout:
    description: Seconds within which the old token must answer, as O(pkcs11_timeout) says of the new one.
    type: int
  source_pkcs11_start_timeout:
    description: Seconds within which the old token's library must be loaded and logged in to, as
      O(pkcs11_start_timeout) says of the new one.
    type: int
  source_pkcs11_library_variables:
    description: How further variables in O(source_secrets_file) begin that the old token's library reads, separated by
      commas.
    type: str
"""
