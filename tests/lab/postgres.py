"""A Postgres server that lives as long as one class of tests."""

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.needs import postgres_programs

USER, PASSWORD = "runs", "geheim"
AS_POSTGRES = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups")


class Postgres:
    def __init__(self) -> None:
        programs = postgres_programs()
        assert programs is not None
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="ic-postgres-", dir="/var/tmp"))
        shutil.chown(self.folder, "postgres", "postgres")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        words = ("--no-sync", "--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256")
        self._run("initdb", "--pgdata", str(self.folder / "data"), *words)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*AS_POSTGRES, str(self.programs / program), *words],
            check=False,
            cwd=self.folder,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def stop(self) -> None:
        """End the server and every session with it, whatever they do."""
        self._run("pg_ctl", "stop", "--wait", "-D", str(self.folder / "data"), "-m", "fast")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, name: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def make_database(self) -> str:
        """URL of a new, empty database."""
        name = f"runs_{secrets.token_hex(4)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


def wait_until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
