"""The controller's process, without any switch: start, ask, stop, start again."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from intercloud.clouds.run import wait_until
from intercloud.control.client import ControlClient
from intercloud.control.process import running, spawn, stop
from intercloud.errors import ControlError
from intercloud.model.server import Network
from intercloud.model.site import Tunnel

BLUE = Network("blue", 7, "10.0.0.0/24", 1450)
LISTEN = "tcp:127.0.0.1:0"


class TestProcess(unittest.TestCase):
    def setUp(self) -> None:
        self.state = Path(self.enterContext(tempfile.TemporaryDirectory())) / "control"
        self.addCleanup(stop, self.state)

    def client(self) -> ControlClient:
        return self.enterContext(ControlClient(self.state / "control.sock"))

    def test_starts_once_and_stops_once(self) -> None:
        pid = spawn(self.state, LISTEN)
        self.assertEqual(spawn(self.state, LISTEN), pid)
        self.assertEqual(running(self.state), pid)
        stop(self.state)
        stop(self.state)
        self.assertIsNone(running(self.state))
        self.assertEqual([path.name for path in self.state.iterdir()], ["controller.log"])

    def test_outlives_the_one_who_waits_for_it(self) -> None:
        words = [sys.executable, "-m", "intercloud.control.daemon", "--state", str(self.state), "--listen", LISTEN]
        with subprocess.Popen([*words, "--detach"]) as starter:
            wait_until(lambda: running(self.state) is not None, "the controller", interval=0.001)
            pid = running(self.state)
            starter.kill()
        wait_until(lambda: "ready, switches" in (self.state / "controller.log").read_text(), "its being ready")
        self.assertEqual(self.client().status(), {})
        self.assertEqual(running(self.state), pid)

    def test_keeps_what_it_was_told_and_clients_need_not_care(self) -> None:
        pid = spawn(self.state, LISTEN)
        client = self.client()
        client.put(networks=[BLUE], tunnel=Tunnel.GRE)
        os.kill(pid, signal.SIGKILL)
        while running(self.state) == pid:
            pass
        self.assertNotEqual(spawn(self.state, LISTEN), pid)
        self.assertEqual(client.registry().networks, {"blue": BLUE})
        self.assertEqual(client.registry().tunnel, Tunnel.GRE)
        client.drop(networks=["blue"])
        self.assertEqual(client.registry().networks, {})
        self.assertEqual(client.status(), {})

    def test_many_threads_may_ask_at_once(self) -> None:
        spawn(self.state, LISTEN)
        client = self.client()
        seen: list[bool] = []
        threads = [threading.Thread(target=lambda: seen.append(not client.registry().sites)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [True] * 20)

    def test_absent_controller_is_told(self) -> None:
        for ask in (self.client, lambda: ControlClient(self.state / "control.sock").registry()):
            with self.assertRaisesRegex(ControlError, "the controller does not answer at .*; is it running"):
                ask()

    def test_bad_start_is_told(self) -> None:
        with self.assertRaisesRegex(ControlError, "cannot start the controller: .*cannot listen on 'nonsense'"):
            spawn(self.state, "nonsense")
        self.assertIsNone(running(self.state))

    def test_bad_request_is_told(self) -> None:
        spawn(self.state, LISTEN)
        with self.assertRaisesRegex(ControlError, "no endpoint has the MAC address"):
            self.client().cutover({"52:54:00:00:00:01": "a"})
