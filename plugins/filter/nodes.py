# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter for hosts that are to be nodes of one installation: what of their options is not the same everywhere.

Values stay inside: a URI has a password in it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

OWN = {"host", "installed", "secrets_file"}  # what may differ
URI = "install_mongodb_uri_file"


def differing_options(nodes: Sequence[Mapping[str, object]], uris: Sequence[str]) -> list[str]:
    """Return the names of options, sorted, that are not the same for all nodes.

    nodes: the options of each. uris: content of each one's file with the URI, in base64.
    """
    names = {name for node in nodes for name in node if name not in OWN}
    differing = [name for name in names if any(node.get(name) != nodes[0].get(name) for node in nodes)]
    if len({base64.b64decode(uri).strip() for uri in uris}) > 1:
        differing.append(URI)
    return sorted(differing)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"differing_options": differing_options}
