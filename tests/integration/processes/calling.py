# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls one verb as its module would, in a process of its own, for a test that needs another Python or another user.

Standard input: {verb, params, options, check} as JSON. Standard output: {changed, …values}, or {failure, msg, …facts}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

UTILS = "ansible_collections.certautopilot.ops.plugins.module_utils"


def main() -> None:
    order = json.load(sys.stdin)
    configuration = importlib.import_module(f"{UTILS}._module.configuration")
    errors = importlib.import_module(f"{UTILS}._domain.errors")
    values = importlib.import_module(f"{UTILS}._module.json_values")
    verb = importlib.import_module(f"{UTILS}._verbs.{order['verb']}")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in order["options"].items()}
    try:
        settings = configuration.settings_from(order["params"], environment=os.environ, warn=lambda text: None)
        result = verb.run(settings, verb.Options(**options), check=order["check"], warn=lambda text: None)
        answer = result.as_result(diff=False)
    except errors.OpsError as refusal:
        answer = refusal.as_result()
    json.dump(values.plain_object(answer), sys.stdout)


if __name__ == "__main__":
    main()
