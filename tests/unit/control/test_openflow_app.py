"""The OpenFlow connection against a peer that speaks raw bytes: what a real switch does only on a bad day."""

import socket
import struct
import threading
import time
import unittest
from collections.abc import Iterator
from contextlib import suppress

from intercloud.control.fabric import FlowChange, Verb, flows
from intercloud.control.openflow_app import Batch, Server, Switch
from intercloud.errors import ControlError
from tests.fakes.flow_table import World

from .world import registry

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY, BUNDLE_CONTROL, BUNDLE_ADD = 19, 20, 21, 33, 34
FLOW_MOD = 14
OPEN, COMMIT, DISCARD = 0, 4, 6
"""What a message that controls a bundle asks for (OpenFlow 1.4)."""


class Peer:
    """The switch's end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(5)

    def say(self, kind: int, xid: int, body: bytes = b"", version: int = 5) -> None:
        self.connection.sendall(struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body)

    def hear(self) -> tuple[int, int, bytes]:
        _, kind, length, xid = struct.unpack("!BBHI", self._exactly(8))
        return kind, xid, self._exactly(length - 8)

    def hear_until(self, wanted: int) -> Iterator[tuple[int, int, bytes]]:
        kind = None
        while kind != wanted:
            kind, xid, body = self.hear()
            yield kind, xid, body

    def shake_hands(self) -> None:
        self.say(HELLO, 1)
        for kind, xid, _ in self.hear_until(18):
            if kind == FEATURES_REQUEST:
                self.say(FEATURES_REPLY, xid, struct.pack("!QIBB2xII", 0xA, 0, 254, 0, 0, 0))
        port = struct.pack("!IH2x6s2x16sII", 7, 40, b"\x02" * 6, b"tap0", 0, 0)
        self.say(MULTIPART_REPLY, xid, struct.pack("!HH4x", 13, 0) + port)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.connection.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data


class TestSwitch(unittest.TestCase):
    def setUp(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.peer = Peer(theirs)
        self.changed = threading.Event()
        self.switch = Switch(ours, lambda _: self.changed.set())
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        self.addCleanup(self.thread.join)
        self.addCleanup(self.switch.close)
        self.peer.shake_hands()
        self.assertTrue(self.changed.wait(5))

    def serve(self) -> None:
        with suppress(ConnectionError):
            self.switch.serve()

    def batch(self) -> list[FlowChange]:
        wanted = flows(registry(), "a", World(registry()).ports["a"])
        return [FlowChange(verb, flow) for flow in wanted for verb in Verb]

    def told(self, batch: Batch) -> list[tuple[int, int, int | None]]:
        """Send it, and give bundle, kind and, if it controls the bundle, wish of each message before its barrier."""
        reply = self.switch.send(batch)
        *heard, (_, barrier, _) = self.peer.hear_until(BARRIER_REQUEST)
        self.peer.say(BARRIER_REPLY, barrier)
        reply.wait(5)
        parts = [(kind, *struct.unpack_from("!IH", body)) for kind, _, body in heard]
        return [(bundle, kind, wish if kind == BUNDLE_CONTROL else None) for kind, bundle, wish in parts]

    def test_handshake_tells_who_it_is_and_its_ports(self) -> None:
        self.assertEqual(self.switch.datapath_id, "000000000000000a")
        self.assertEqual(self.switch.ports, {"tap0": 7})

    def test_changes_are_one_bundle_and_a_barrier(self) -> None:
        changes = self.batch()
        reply = self.switch.send(self.switch.prepare(changes))
        heard = list(self.peer.hear_until(BARRIER_REQUEST))
        kinds = [kind for kind, _, _ in heard]
        self.assertEqual(kinds, [BUNDLE_CONTROL, *[BUNDLE_ADD] * len(changes), BUNDLE_CONTROL, BARRIER_REQUEST])
        for kind, xid, body in heard:
            if kind == BUNDLE_ADD:
                inner = struct.unpack_from("!BBHI", body, 8)
                self.assertEqual(inner, (5, FLOW_MOD, len(body) - 8, xid))
        self.assertEqual(len({xid for _, xid, _ in heard}), len(heard))
        self.peer.say(BARRIER_REPLY, heard[-1][1])
        self.assertGreater(reply.wait(5), 0)

    def test_a_bundle_is_filled_first_and_made_or_forgotten_at_a_word(self) -> None:
        changes = self.batch()
        bundle = self.switch.bundle(changes)
        filled, committed, discarded = map(self.told, (bundle.fill, bundle.commit, bundle.discard))
        number = filled[0][0]
        self.assertEqual(filled, [(number, BUNDLE_CONTROL, OPEN), *[(number, BUNDLE_ADD, None)] * len(changes)])
        self.assertEqual(committed, [(number, BUNDLE_CONTROL, COMMIT)])
        self.assertEqual(discarded, [(number, BUNDLE_CONTROL, DISCARD)])

    def test_nothing_to_change_is_a_barrier_alone(self) -> None:
        reply = self.switch.send(self.switch.prepare(()))
        ((kind, xid, _),) = self.peer.hear_until(BARRIER_REQUEST)
        self.peer.say(BARRIER_REPLY, xid)
        reply.wait(5)
        self.assertEqual(kind, BARRIER_REQUEST)

    def test_refusal_is_told_by_name(self) -> None:
        reply = self.switch.send(self.switch.prepare(self.batch()[:1]))
        heard = list(self.peer.hear_until(BARRIER_REQUEST))
        self.peer.say(ERROR, heard[1][1], struct.pack("!HH", 5, 1) + bytes(8))
        self.peer.say(BARRIER_REPLY, heard[-1][1])
        with self.assertRaisesRegex(ControlError, "the switch refused: .*TABLE_FULL"):
            reply.wait(5)

    def test_silence_and_a_lost_connection_are_told(self) -> None:
        reply = self.switch.barrier()
        with self.assertRaisesRegex(ControlError, r"no answer within 0\.05 s"):
            reply.wait(0.05)
        self.peer.connection.close()
        with self.assertRaisesRegex(ControlError, "connection to the switch lost"):
            reply.wait(5)
        self.thread.join()
        with self.assertRaisesRegex(ControlError, "connection to the switch lost"):
            self.switch.barrier().wait(5)

    def test_echo_is_answered_also_in_pieces(self) -> None:
        request = struct.pack("!BBHI", 5, ECHO_REQUEST, 12, 77) + b"ping"
        for byte in request:
            self.peer.connection.sendall(bytes([byte]))
            time.sleep(0.001)
        self.assertEqual(self.peer.hear(), (ECHO_REPLY, 77, b"ping"))


class TestServer(unittest.TestCase):
    def setUp(self) -> None:
        self.changed: list[str] = []
        self.server = Server("tcp:127.0.0.1:0", self.changed.append)
        self.addCleanup(self.server.close)

    def connect(self) -> Peer:
        peer = Peer(socket.create_connection(self.server.address))
        self.addCleanup(peer.connection.close)
        return peer

    def until(self, count: int) -> None:
        deadline = time.monotonic() + 5
        while len(self.changed) < count and time.monotonic() < deadline:
            time.sleep(0.005)

    def test_a_switch_that_comes_again_replaces_itself(self) -> None:
        self.connect().shake_hands()
        self.until(1)
        first = self.server.switches["000000000000000a"]
        self.connect().shake_hands()
        self.until(3)  # the new one came, the old one went
        self.assertIsNot(self.server.switches["000000000000000a"], first)
        self.assertEqual(len(self.server.switches), 1)

    def test_another_version_and_nonsense_end_only_their_connection(self) -> None:
        for speak in (lambda p: p.say(HELLO, 1, version=4), lambda p: p.connection.sendall(b"GET / HTTP/1.0\r\n\r\n")):
            with self.assertLogs("intercloud.control.openflow_app", "WARNING") as logs:
                before = len(self.changed)
                speak(self.connect())
                self.until(before + 1)
            self.assertIn("it does not speak OpenFlow 1.4; set the bridge's protocols", logs.output[0])
        self.connect().shake_hands()
        self.until(3)
        self.assertIn("000000000000000a", self.server.switches)
