# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service of the laboratory answers to a GET, asked as any client would ask."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


def get(url: str, *, bearer: str = "") -> tuple[int, str]:
    """Return (status, body), for every status. Raises OSError when nobody answers.

    WHY not urllib.request: it would ask a proxy of the environment, and turns refusals into exceptions.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
