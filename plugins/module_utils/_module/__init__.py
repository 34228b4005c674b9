# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible talks to the verbs: argument specs, settings of a host, redaction, results, missing libraries.

Owns everything that knows Ansible or reads a host's configuration files; no rule about keys or records is here. Nothing
below imports this package. Enter at `base.run_module`.

WHY code here: every module file imports this package before anything else of the collection, so no module can forget
to check the interpreter, and a new one needs no line for it.
"""

from . import interpreter

interpreter.require()
