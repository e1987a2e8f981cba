"""Relays of TCP connections: what a bad link does to an upload or a download, a service that is gone for a while."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PIECE = 64 * 1024


@contextmanager
def relaying(host: str, port: int, goes_on: Callable[[int], bool]) -> Iterator[str]:
    """Relay to a service while this is true of the bytes that a connection has carried; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                upstream = socket.create_connection((host, port))
                for one, other in ((client, upstream), (upstream, client)):
                    threading.Thread(target=carry, args=(one, other), daemon=True).start()

        def carry(one: socket.socket, other: socket.socket) -> None:
            carried = 0
            with contextlib.suppress(OSError):
                while piece := one.recv(PIECE):
                    carried += len(piece)
                    if not goes_on(carried):
                        break
                    other.sendall(piece)
            for each in (one, other):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def cutting(host: str, port: int, after: int, times: int) -> Iterator[str]:
    """Relay to a service, and cut the first `times` connections that carry more than `after` bytes; yields its URL."""
    left = [times]

    def goes_on(carried: int) -> bool:
        if carried <= after or left[0] == 0:
            return True
        left[0] -= 1
        return False

    with relaying(host, port, goes_on) as url:
        yield url
