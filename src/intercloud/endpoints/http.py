"""Writes through the whole application: each request stores a record, and no acknowledged one may get lost."""

import re
from http.client import HTTPConnection, HTTPException
from socket import MSG_PEEK
from threading import Event

from intercloud.endpoints.downtime import Samples
from intercloud.endpoints.result import ProbeConfig
from intercloud.endpoints.sockets import Log, Pace, receive, stamp

READ_BACK_TRIES = 3
READ_BACK_WITHIN = 30.0


class StampedConnection(HTTPConnection):
    """An HTTP connection whose packets the kernel stamps."""

    def connect(self) -> None:
        """Connect, and have the stamps made."""
        super().connect()
        stamp(self.sock)


class HttpProber:
    """Post record after record over one kept connection. A request without a 200 failed; its record is ambiguous."""

    def __init__(self, config: ProbeConfig, web: str) -> None:
        self._config = config
        self._web = web
        self._connection = StampedConnection(web, timeout=config.http_timeout)
        self._log = Log()
        self.pace = Pace(config.http_interval)

    def silent(self) -> list[str]:
        """Name the application if it has not answered yet."""
        return [] if self._log.numbers else [f"http://{self._web}/records"]

    def run(self, stop: Event) -> None:
        """Post until told to stop; the last request is waited for."""
        while self.pace.wait(stop):
            self._post()
        self._connection.close()

    def _post(self) -> None:
        number = self._log.ask()
        reopens = self._connection.sock is None
        try:
            self._connection.request("POST", "/records", f"{self._config.run}-{number}".encode())
            if not reopens:  # connecting is waiting for the application
                self._log.sent(number)
            _, at = receive(self._connection.sock, 1, MSG_PEEK)
            response = self._connection.getresponse()
            response.read()
        except (OSError, HTTPException):
            self._connection.close()
            return
        if response.status == 200:
            self._log.answer(number, at)

    def acknowledged(self) -> int:
        """Count the records that the application said it has stored."""
        return len(self._log.numbers)

    def lost_writes(self) -> int | None:
        """Read all records back and count the acknowledged ones that are not there; None when none can be read."""
        for _ in range(READ_BACK_TRIES):
            try:
                connection = HTTPConnection(self._web, timeout=READ_BACK_WITHIN)
                connection.request("GET", "/records")
                response = connection.getresponse()
                text = response.read().decode(errors="replace")
            except (OSError, HTTPException):
                continue
            finally:
                connection.close()
            if response.status == 200:
                stored = {int(n) for n in re.findall(rf"\b{re.escape(self._config.run)}-(\d+)\b", text)}
                return len(set(self._log.numbers) - stored)
        return None

    def samples(self, begin: float) -> Samples:
        """Give the samples of requests sent from `begin` on."""
        return self._log.samples(begin, self._config.http_interval)
