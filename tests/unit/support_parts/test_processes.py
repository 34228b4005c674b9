# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What scenarios see of processes and services from outside; a blind eye here would let every guard pass."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
import uuid

import pytest

from tests.support import processes
from tests.support.http_get import get


def test_a_process_is_found_by_a_part_of_its_arguments_as_long_as_it_runs():
    mark = f"mark-{uuid.uuid4().hex}"
    process = subprocess.Popen([sys.executable, "-c", "input()", f"--file=/x/{mark}.yaml"], stdin=subprocess.PIPE)
    limit = time.monotonic() + 30
    try:
        # WHY wait: Popen returns when the child begins to be the program, a moment before it has its arguments.
        while not (found := processes.with_argument(mark)) and time.monotonic() < limit:
            time.sleep(0.01)
        assert found == [process.pid]
    finally:
        process.kill()
        process.communicate()
    assert processes.with_argument(mark) == []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "Bearer right"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def url():
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


def test_an_answer_is_status_and_body_and_a_refusal_is_an_answer(url):
    assert get(url, bearer="right") == (200, "/readyz")
    assert get(url) == (401, "/readyz")


def test_a_proxy_of_the_environment_is_not_asked(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")

    assert get(url)[0] == 401


def test_nobody_there_is_no_status():
    with pytest.raises(ConnectionRefusedError):
        get(f"http://127.0.0.1:{processes.free_port()}/readyz")
