"""Who executes a run: a lock that ends with its process, however that ends.

On one machine it is a lock of the kernel's. Where runs are recorded in Postgres, other machines may execute them, so
there it is an advisory lock of a session with that database, too: it ends with its session, and so with the process or
the machine. That session must reach the server itself, not a pooler that lends sessions for one transaction.

A session can also end before its process does: the server is restarted, or nothing comes through for half a minute.
Another machine may then take the run over, so `Lease.alive` is asked before each turn, and whoever has lost its lease
makes none any more (`workflow.runs`). A turn that is being made then is made to its end; its record is refused if
the run has been taken over.
"""

import fcntl
import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from intercloud.errors import Refused
from intercloud.workflow.database import is_shared, parse, unavailable

SEEN = 63
"""Bytes of its holder's text that are seen from other machines: Postgres keeps no more of a session's name."""
_FLOCK = "hhqqi"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""
_WHOLE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_SILENCE = 15
"""Seconds without a sign of life after which each end takes the other for dead, twice that when it had been idle."""
_SETTINGS = {
    "tcp_keepalives_idle": _SILENCE,
    "tcp_keepalives_interval": _SILENCE // 3,
    "tcp_keepalives_count": 3,
    "idle_session_timeout": 0,
}
_HOLDER = """
    SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = %s
"""

_Session = psycopg.Connection[tuple[object, ...]]


class Lease:
    """A lease that is held. session: with the database, where other machines share that."""

    def __init__(self, descriptor: int, run: str, session: _Session | None) -> None:
        self._descriptor, self._session, self._run = descriptor, session, run
        self._head = f"run {run}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC"
        self.note("begins")

    def note(self, doing: str) -> None:
        """Say beside it what is done now, for those who ask meanwhile or afterwards."""
        text = f"{self._head}: {doing}".encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
        if self._session is not None:
            with suppress(psycopg.Error):  # a lost session is found by whoever asks whether it is alive
                _name(self._session, f"run {self._run}, {socket.gethostname()}: {doing}")

    def alive(self) -> bool:
        """Whether it is held still; one that was lost stays lost."""
        try:
            if self._session is not None:
                self._session.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True


@contextmanager
def hold(folder: Path, key: str, run: str, database: str | None = None) -> Iterator[Lease]:
    """Hold a key among all processes of this machine, and of all that share the runs' database.

    Whoever gets it has thereby proven that the process that held it before is gone, or makes no more turns.
    Raises Refused, saying who holds it, and RunsUnavailable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE)
        except BlockingIOError:
            raise _taken(key, path.read_text() or "it begins just now") from None
        os.ftruncate(descriptor, 0)  # what the holder before did is not done any more
        with _held_session(database, key) if database and is_shared(database) else nullcontext() as session:
            yield Lease(descriptor, run, session)
    finally:
        os.close(descriptor)


def holder(folder: Path, key: str, database: str | None = None) -> str | None:
    """Say who holds a key and what it does; None when nobody does. Disturbs nobody. Raises RunsUnavailable."""
    with suppress(FileNotFoundError), (folder / f"{key}.lock").open() as file:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _WHOLE)
        if struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK:
            return file.read()
    if not database or not is_shared(database):
        return None
    with _session(database) as session:
        return _holder(session, key)


@contextmanager
def _held_session(database: str, key: str) -> Iterator[_Session]:
    with _session(database) as session:
        for name, value in _SETTINGS.items():
            session.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
        if session.execute("SELECT pg_try_advisory_lock(%s)", (_number(key),)).fetchone() != (True,):
            raise _taken(key, _holder(session, key) or "it ends just now")
        try:
            yield session
        finally:
            with suppress(psycopg.Error):  # at once: a server takes its time to see that a session has ended
                session.execute("SELECT pg_advisory_unlock(%s)", (_number(key),))


@contextmanager
def _session(database: str) -> Iterator[_Session]:
    url = parse(database).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        session = psycopg.connect(url, autocommit=True, connect_timeout=10, tcp_user_timeout=_SILENCE * 1000)
        with closing(session):
            yield session
    except psycopg.Error as failure:
        raise unavailable(database, failure) from failure


def _holder(session: _Session, key: str) -> str | None:
    found = session.execute(_HOLDER, (_number(key),)).fetchone()
    return None if found is None else str(found[0] or "on another machine")


def _name(session: _Session, text: str) -> None:
    session.execute("SELECT set_config('application_name', %s, false)", (text,))


def _number(key: str) -> int:
    """Number of a key's advisory lock: they have 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(f"intercloud {key}".encode()).digest()[:8], "big", signed=True)


def _taken(key: str, holder: str) -> Refused:
    return Refused([f"another migration of {key} is under way ({holder}); wait for its end"])
