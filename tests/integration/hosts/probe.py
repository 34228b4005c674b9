# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that behaves as its first argument says. It runs on the hosts, with nothing but Python's own library."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import ssl
import sys
import time

PORT = 18181
how, rest = sys.argv[1], sys.argv[2:]


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the status that was asked for; a redirect leads to its third word."""

    status, location = 200, ""

    def do_GET(self):
        self.send_response(self.status)
        if self.location:
            self.send_header("Location", self.location)
        self.end_headers()

    def log_message(self, *_ignored):
        pass


def serve(port=PORT, tls=()):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def listener():
    listening = socket.create_server(("127.0.0.1", PORT))
    listening.listen(16)
    return listening


if how == "serves":
    Answers.status = int(rest[0]) if rest else 200
    Answers.location = rest[1] if len(rest) > 1 else ""
    serve()
elif how == "serves-tls":
    serve(tls=rest)
elif how == "says":  # lines of a file, then it fails
    time.sleep(0.2)
    with open(rest[0], "rb") as file:
        sys.stdout.buffer.write(file.read())
    sys.stdout.flush()
    sys.exit(3)
elif how == "dies":  # after so many seconds
    time.sleep(float(rest[0]))
    print("cannot open the database", flush=True)
    sys.exit(int(rest[1]))
elif how == "accepts":  # and never answers
    keep, listening = [], listener()
    while True:
        keep.append(listening.accept())
elif how == "drips":  # one byte of an endless head each half second
    listening = listener()
    while True:
        connection, _where = listening.accept()
        if os.fork() == 0:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                time.sleep(0.5)
                connection.sendall(b"x")
elif how == "stays":  # whatever it is told
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve()
elif how == "leaves-a-child":
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    serve()
