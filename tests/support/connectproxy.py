# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy on loopback that tunnels (CONNECT) whatever it is asked for to one place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _serve(
    client: socket.socket, upstream: tuple[str, int], password: str, heads: list[str]
) -> None:
    with client:
        head = b""
        while b"\r\n\r\n" not in head and (data := client.recv(4096)):
            head += data
        heads.append(head.decode("latin-1"))
        if password and f"Proxy-Authorization: {password}" not in heads[-1]:
            client.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            )
            return
        with socket.create_connection(upstream) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join()


@contextmanager
def connect_proxy(upstream: str, *, password: str = "") -> Iterator[tuple[str, list[str]]]:
    """``HOST:PORT`` of a proxy whose tunnels all end at ``upstream``, and the requests it got.

    ``password``: the value that Proxy-Authorization must have.
    """
    host, _, port = upstream.partition(":")
    heads: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(
                        target=_serve,
                        args=(client, (host, int(port)), password, heads),
                        daemon=True,
                    ).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", heads
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
