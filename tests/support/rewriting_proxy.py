# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before a MongoDB-protocol server that lets a client see bytes which that server would not store.

The test server refuses BSON that MongoDB stores, such as a text that is not UTF-8. So bytes of the same length are
stored in its place, and each message is rewritten on its way: `stored` to `shown` for the client, and back.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LENGTH = 4  # bytes: each message of the protocol begins with its size, int32 little endian


@contextmanager
def rewriting_proxy(port: int, stored: bytes, shown: bytes) -> Iterator[int]:
    """Yield the loopback port of a proxy before the server at `port`. Raises ValueError: texts of different length."""
    if len(stored) != len(shown):
        raise ValueError("a message must keep its length")
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener]

    def serve() -> None:
        with suppress(OSError):  # closed: the end
            while True:
                client, _address = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                sockets.extend((client, server))
                for source, target, old, new in ((client, server, shown, stored), (server, client, stored, shown)):
                    threading.Thread(target=_pump, args=(source, target, old, new), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        thread.join()


def _pump(source: socket.socket, target: socket.socket, old: bytes, new: bytes) -> None:
    with suppress(OSError), source.makefile("rb") as stream:
        while head := stream.read(_LENGTH):
            body = stream.read(int.from_bytes(head, "little") - _LENGTH)
            target.sendall(head + body.replace(old, new))
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
