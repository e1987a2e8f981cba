"""Sockets of either kind, at an address."""

import socket
from pathlib import Path

from intercloud.clouds.address import Address


def connect(address: Address, timeout: float) -> socket.socket:
    """Connect to who waits there. Raises OSError."""
    if not address.path:
        return socket.create_connection((address.host, address.port), timeout)
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(timeout)
    found.connect(address.path)
    return found


def listen(address: Address, buffer: int | None = None) -> socket.socket:
    """Wait there; a socket that somebody else has left goes. buffer: bytes that a peer may send ahead, about."""
    found = socket.socket(socket.AF_UNIX if address.path else socket.AF_INET)
    if address.path:
        Path(address.path).unlink(missing_ok=True)
    else:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if buffer:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    found.bind(address.path or (address.host, address.port))
    found.listen()
    return found


def promptly(connection: socket.socket) -> socket.socket:
    """Let what is said over a connection go at once."""
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def inode(path: Path | None) -> int | None:
    """Tell which file is there, to see later whether it is still that one; None where there is none."""
    try:
        return path.stat().st_ino if path else None
    except FileNotFoundError:
        return None
