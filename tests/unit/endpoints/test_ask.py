"""Asking many at once, and a few at a time what costs them."""

import json
import subprocess
import sys
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from intercloud.endpoints.ask import FEW

NOBODY = "http://127.0.0.1:1"


class Busy(ThreadingHTTPServer):
    """Answers after a while, and counts how many wait for an answer at the same time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Slow)
        self.lock = threading.Lock()
        self.waiting = self.most = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Slow(BaseHTTPRequestHandler):
    server: Busy

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.waiting += 1
            self.server.most = max(self.server.most, self.server.waiting)
        time.sleep(0.2)
        with self.server.lock:
            self.server.waiting -= 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_: Any) -> None:
        pass


class TestAsk(unittest.TestCase):
    def setUp(self) -> None:
        self.busy = Busy()
        self.addCleanup(self.busy.server_close)
        self.addCleanup(self.busy.shutdown)
        self.base = f"http://127.0.0.1:{self.busy.server_port}"

    def ask(self, *words: str) -> dict[str, str | None]:
        command = [sys.executable, "-m", "intercloud.endpoints.ask", "5", *words]
        found: dict[str, str | None] = json.loads(subprocess.check_output(command, timeout=30))
        return found

    def test_what_costs_is_asked_a_few_at_a_time(self) -> None:
        costly = [f"{self.base}/{number}" for number in range(3 * FEW)]
        answers = self.ask(f"{self.base}/state", "--", *costly)
        self.assertEqual(answers[costly[-1]], f"/{3 * FEW - 1}")
        self.assertEqual(self.busy.most, FEW)

    def test_the_others_are_asked_at_once(self) -> None:
        self.ask(*(f"{self.base}/{number}" for number in range(3 * FEW)))
        self.assertGreater(self.busy.most, FEW)

    def test_who_has_not_answered_is_asked_nothing_more(self) -> None:
        answers = self.ask(f"{NOBODY}/state", "--", f"{NOBODY}/peers", f"{self.base}/peers")
        self.assertEqual(set(answers.values()), {None})
        self.assertEqual(self.busy.most, 0)
