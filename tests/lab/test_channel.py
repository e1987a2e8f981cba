"""The channel between two clouds' hypervisors, with real sockets and processes, and programs that talk through it."""

import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from intercloud.clouds.address import Address
from intercloud.clouds.nbd_reader import REPLY, REPLY_HEAD, REQUEST, REQUEST_HEAD, open_export, take
from intercloud.clouds.port import Doors, Landing, Monitor
from intercloud.clouds.run import command_line, kill
from intercloud.errors import TransferError
from intercloud.model.site import Placement
from intercloud.transfer import channel
from intercloud.transfer.channel import Channel, Way
from intercloud.transfer.nbdfilter import FLAGS, Kind, welcome
from intercloud.transfer.sockets import connect, listen
from intercloud.units import MIB, Bytes
from tests import needs

PATIENCE = 20.0
SERVERS = 3
MUCH = 8 * MIB


class Talks(unittest.TestCase):
    """Instead of hypervisors, sockets that say what a test wants."""

    def setUp(self) -> None:
        self.path = Path(tempfile.mkdtemp())
        self.mark = self.path.name
        self.addCleanup(shutil.rmtree, self.path)
        self.addCleanup(lambda: kill(self.processes()))
        here = [self.monitor(f"here{n}") for n in range(SERVERS)]
        there = [self.monitor(f"there{n}") for n in range(SERVERS)]
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        landings = [Landing(monitor, "127.0.0.1", self.port, 0, Placement("there", {})) for monitor in there]
        self.channel = Channel(here, landings, channel.window_for(Bytes(64 * MIB)))
        self.ways = self.channel.ways()

    def monitor(self, name: str) -> Monitor:
        doors = Doors(self.door(f"{name}.mem"), self.door(f"{name}.nbd"), str(self.path / "records" / name))
        return Monitor(str(self.path / f"{name}.sock"), {}, doors=doors)

    def door(self, name: str) -> Address:
        return Address(path=str(self.path / name))

    def processes(self) -> list[int]:
        """Ends of this test's channels that live."""
        pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
        return [pid for pid in pids if any(self.mark in word for word in command_line(pid))]

    def wait(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not what():
            self.assertLess(time.monotonic(), deadline, "it never came")
            time.sleep(0.02)

    def connect(self, way: Way) -> tuple[socket.socket, socket.socket]:
        """One connection through the channel: its end at the source, and the one at the target."""
        with listen(way.target) as listener:
            listener.settimeout(PATIENCE)
            here = connect(way.source, PATIENCE)
            there, _ = listener.accept()
        there.settimeout(PATIENCE)
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        return here, there

    def carry(self, pairs: list[tuple[socket.socket, socket.socket]], contents: list[bytes]) -> list[bytes]:
        """Send all at the same time, and end; returns what came."""
        senders = [
            threading.Thread(target=self.say, args=(here, it)) for (here, _), it in zip(pairs, contents, strict=True)
        ]
        got = [bytearray() for _ in pairs]
        takers = [
            threading.Thread(target=self.take, args=(there, it)) for (_, there), it in zip(pairs, got, strict=True)
        ]
        for thread in (*senders, *takers):
            thread.start()
        for thread in (*senders, *takers):
            thread.join(PATIENCE)
        return [bytes(each) for each in got]

    def say(self, here: socket.socket, content: bytes) -> None:
        here.sendall(content)
        here.shutdown(socket.SHUT_WR)

    def take(self, there: socket.socket, into: bytearray) -> None:
        while got := there.recv(65536):
            into += got

    def test_what_one_has_sent_the_others_do_not_send_again(self) -> None:
        self.channel.open()
        same = random.Random(1).randbytes(MUCH)
        contents = [same, bytes(MUCH) + same, random.Random(2).randbytes(MIB) + same]
        pairs = [self.connect(ways.memory) for ways in self.ways]
        self.assertEqual(self.carry(pairs, contents), contents)
        sent = channel.sent(self.channel.source[0]) or 0
        self.assertLess(MUCH + MIB, sent)
        self.assertLess(sent, MUCH + 2 * MIB)

    def test_a_few_bytes_do_not_wait_for_more_in_either_direction(self) -> None:
        self.channel.open()
        pairs = [self.connect(ways.memory) for ways in self.ways for _ in range(2)]
        for here, there in pairs:
            for size in (1, 9, 100, 128 * 1024 - 9, 128 * 1024, 128 * 1024 + 1):
                for one, other in ((here, there), (there, here)):
                    content = random.Random(size).randbytes(size)
                    threading.Thread(target=one.sendall, args=(content,)).start()
                    got = b""
                    while len(got) < size:
                        got += other.recv(size)
                    self.assertEqual(got, content)

    @needs.root
    def test_its_ends_outweigh_other_sessions(self) -> None:
        self.channel.open()
        ends = self.processes()
        self.assertEqual([os.getpriority(os.PRIO_PROCESS, pid) for pid in ends], [-2, -2])
        groups = [group for pid in ends if (group := Path(f"/proc/{pid}/autogroup")).exists()]
        for group in groups:  # kernels that do not divide among sessions have none
            self.assertRegex(group.read_text(), "nice -2$")

    def test_bytes_of_every_kind_and_size_arrive_as_they_were(self) -> None:
        self.channel.open()
        dice = random.Random(3)
        pairs = [self.connect(ways.memory) for ways in self.ways for _ in range(2)]
        kinds = (dice.randbytes, bytes, lambda size: b"abc" * (size // 3))
        contents = [b"".join(dice.choice(kinds)(dice.randrange(300_000)) for _ in range(40)) for _ in pairs]
        self.assertEqual(self.carry(pairs, contents), contents)

    def test_a_disk_is_found_by_its_name_and_not_asked_to_flush_nothing(self) -> None:
        self.channel.open()
        names: list[str] = []

        def find(name: str) -> tuple[int, int]:
            names.append(name)
            return MUCH, FLAGS

        with listen(self.ways[1].disks.target) as listener:
            listener.settimeout(PATIENCE)
            here = self.enterContext(connect(self.ways[1].disks.source, PATIENCE))
            helper = threading.Thread(target=open_export, args=(here, "data"))
            helper.start()
            there = self.enterContext(listener.accept()[0])
            there.settimeout(PATIENCE)
            welcome(there, find)
            helper.join(PATIENCE)
        self.assertEqual(names, ["data"])
        flush = REQUEST_HEAD.pack(REQUEST, 0, Kind.FLUSH, 7, 0, 0)
        here.sendall(flush)
        *_, cookie, _, _ = REQUEST_HEAD.unpack(take(there, REQUEST_HEAD.size))
        there.sendall(REPLY_HEAD.pack(REPLY, 0, cookie))
        self.assertEqual(REPLY_HEAD.unpack(take(here, REPLY_HEAD.size)), (REPLY, 0, 7))
        here.sendall(flush)
        self.assertEqual(REPLY_HEAD.unpack(take(here, REPLY_HEAD.size)), (REPLY, 0, 7))
        here.close()
        self.assertEqual(there.recv(1), b"", "nothing came but the end")

    def test_each_side_may_end_while_the_other_goes_on(self) -> None:
        self.channel.open()
        here, there = self.connect(self.ways[0].memory)
        here.shutdown(socket.SHUT_WR)
        self.assertEqual(there.recv(1), b"")
        there.sendall(b"more")
        self.assertEqual(here.recv(4), b"more")
        there.close()
        self.assertEqual(here.recv(1), b"")

    def test_one_that_is_gone_breaks_its_own_connection_only(self) -> None:
        self.channel.open()
        (here, there), others = (self.connect(ways.memory) for ways in self.ways[:2])
        there.close()
        self.assertEqual(here.recv(1), b"")

        def broken() -> bool:
            try:
                here.sendall(bytes(65536))
            except OSError:
                return True
            return False

        self.wait(broken)
        self.assertEqual(self.carry([others], [b"it goes on"]), [b"it goes on"])

    def test_nobody_behind_a_door(self) -> None:
        self.channel.open()
        here = connect(self.ways[0].memory.source, PATIENCE)
        self.addCleanup(here.close)
        self.assertEqual(here.recv(1), b"")

    def test_when_either_end_dies_all_connections_end(self) -> None:
        for end in ("here", "there"):
            self.channel.open()
            here, there = self.connect(self.ways[0].memory)
            (pid,) = (pid for pid in self.processes() if f"/{end}0" in " ".join(command_line(pid)))
            kill([pid], how=signal.SIGKILL)
            self.assertEqual((here.recv(1), there.recv(1)), (b"", b""))
            self.wait(lambda: not self.processes())

    def test_it_is_opened_once_and_again_when_it_is_gone(self) -> None:
        self.channel.open()
        first = self.processes()
        self.channel.open()
        self.assertEqual((self.processes(), len(first)), (first, 2))
        channel.sweep(self.channel.source[0])
        self.wait(lambda: not self.processes())
        self.channel.open()
        self.assertEqual(self.carry([self.connect(self.ways[0].memory)], [b"again"]), [b"again"])

    def test_one_that_is_not_wanted_any_more_goes_when_its_last_connection_has(self) -> None:
        self.channel.open()
        here, there = self.connect(self.ways[0].memory)
        for monitor in self.channel.source:
            channel.sweep(monitor)
        time.sleep(1)
        self.assertEqual(self.carry([(here, there)], [b"the last"]), [b"the last"])
        there.close()
        self.wait(lambda: not self.processes())
        left = [each for each in self.path.rglob("*") if each.is_file() or each.is_socket()]
        self.assertLessEqual(set(left), {Path(self.ways[0].memory.target.path)})

    def test_one_whose_other_end_hangs_goes_when_its_hypervisors_have(self) -> None:
        program = "from intercloud.transfer import multiplexer; multiplexer.LONELY = 1.0; multiplexer.main()"
        self.enterContext(patch.object(channel, "PROGRAM", (sys.executable, "-c", program)))
        self.channel.open()
        here, _ = self.connect(self.ways[0].memory)
        (far,) = (pid for pid in self.processes() if "/there0" in " ".join(command_line(pid)))
        os.kill(far, signal.SIGSTOP)
        here.close()
        self.wait(lambda: self.processes() == [far])

    def test_one_that_cannot_start_says_so(self) -> None:
        with (
            socket.create_server(("127.0.0.1", self.port)),
            self.assertRaisesRegex(TransferError, "does not start: .*in use"),
        ):
            self.channel.open()

    def test_a_stranger_is_not_let_in(self) -> None:
        landing = self.channel.landings[0]
        channel._start(
            landing.monitor, channel.End(f"tcp:{landing.host}:{landing.memory_port}", "secret", ("unix:x",), 20)
        )
        with socket.create_connection((landing.host, landing.memory_port)) as stranger:
            stranger.sendall(b"guess!")
            self.assertEqual(stranger.recv(1), b"")


class TalksAtPorts(Talks):
    """The same, with ports of the host where a hypervisor may not use a socket of ours."""

    def door(self, name: str) -> Address:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return Address("127.0.0.1", server.getsockname()[1])


if __name__ == "__main__":
    unittest.main()
