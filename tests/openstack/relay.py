"""A relay of TCP connections that ends each after so many bytes: what a bad link does to an upload or a download."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIECE = 64 * 1024


@contextmanager
def cutting(host: str, port: int, after: int, times: int) -> Iterator[str]:
    """Relay to a service, and cut the first `times` connections that carry more than `after` bytes; yields its URL."""
    left = [times]
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
                    if carried > after and left[0] > 0:
                        left[0] -= 1
                        break
                    other.sendall(piece)
            for each in (one, other):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
