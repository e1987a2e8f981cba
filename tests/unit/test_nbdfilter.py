"""Which flushes go on to the server of a mirrored disk: never one too few. The test is the client and the server."""

import errno
import socket
import threading
import unittest

from intercloud.clouds.nbd_reader import REPLY, REPLY_HEAD, REQUEST, REQUEST_HEAD, take
from intercloud.transfer.nbdfilter import Kind, Relay

PATIENCE = 5.0
"""Seconds for what must come."""
SILENCE = 0.1
"""Seconds in which nothing may come."""
LENGTH = 512


class Flushes(unittest.TestCase):
    def setUp(self) -> None:
        self.client, near = socket.socketpair()
        far, self.server = socket.socketpair()
        for each in (self.client, self.server, near, far):
            self.addCleanup(each.close)
        for each in (self.client, self.server):
            each.settimeout(PATIENCE)
        relay = threading.Thread(target=Relay(near, far, None, None).run)
        relay.start()
        self.addCleanup(relay.join, PATIENCE)
        self.addCleanup(self.client.shutdown, socket.SHUT_RDWR)
        self.addCleanup(self.server.shutdown, socket.SHUT_RDWR)
        self.asked = 0

    def ask(self, kind: Kind) -> int:
        """Ask as a client; returns the cookie."""
        self.asked += 1
        content = bytes(LENGTH) if kind is Kind.WRITE else b""
        self.client.sendall(REQUEST_HEAD.pack(REQUEST, 0, kind, self.asked, 0, len(content)) + content)
        return self.asked

    def assert_answered(self, cookie: int, fault: int = 0) -> None:
        self.assertEqual(REPLY_HEAD.unpack(take(self.client, REPLY_HEAD.size)), (REPLY, fault, cookie))

    def take_on(self, kind: Kind) -> int:
        """As the server, find that it was asked this; returns the cookie."""
        _, _, found, cookie, _, length = REQUEST_HEAD.unpack(take(self.server, REQUEST_HEAD.size))
        self.assertEqual(found, kind)
        take(self.server, length)
        return int(cookie)

    def answer(self, cookie: int, fault: int = 0) -> None:
        self.server.sendall(REPLY_HEAD.pack(REPLY, fault, cookie))

    def do(self, kind: Kind, fault: int = 0) -> None:
        """From the client's request to its answer, by way of the server."""
        asked = self.ask(kind)
        self.answer(self.take_on(kind), fault)
        self.assert_answered(asked, fault)

    def assert_not_passed_on(self, kind: Kind) -> None:
        self.assert_answered(self.ask(kind))
        self.server.settimeout(SILENCE)
        self.assertRaises(TimeoutError, self.server.recv, 1)
        self.server.settimeout(PATIENCE)

    def test_the_first_goes_on_for_nobody_knows_what_was_before(self) -> None:
        self.do(Kind.FLUSH)

    def test_one_with_nothing_to_flush_is_answered_here(self) -> None:
        self.do(Kind.WRITE)
        self.do(Kind.FLUSH)
        self.assert_not_passed_on(Kind.FLUSH)
        self.assert_not_passed_on(Kind.FLUSH)

    def test_each_kind_of_write_is_flushed(self) -> None:
        for kind in (Kind.WRITE, Kind.TRIM, Kind.WRITE_ZEROES):
            self.do(Kind.FLUSH)
            self.do(kind)
        self.do(Kind.FLUSH)
        self.assert_not_passed_on(Kind.FLUSH)

    def test_one_that_failed_has_flushed_nothing(self) -> None:
        self.do(Kind.WRITE)
        self.do(Kind.FLUSH, errno.EIO)
        self.do(Kind.FLUSH, errno.EIO)
        self.do(Kind.FLUSH)
        self.assert_not_passed_on(Kind.FLUSH)

    def test_a_write_that_failed_may_have_changed_something(self) -> None:
        self.do(Kind.FLUSH)
        self.do(Kind.WRITE, errno.ENOSPC)
        self.do(Kind.FLUSH)

    def test_a_write_answered_while_a_flush_is_under_way_is_not_flushed_by_it(self) -> None:
        written, flushed = self.ask(Kind.WRITE), self.ask(Kind.FLUSH)
        write, flush = self.take_on(Kind.WRITE), self.take_on(Kind.FLUSH)
        self.answer(write)
        self.assert_answered(written)
        self.answer(flush)
        self.assert_answered(flushed)
        self.do(Kind.FLUSH)
        self.assert_not_passed_on(Kind.FLUSH)


if __name__ == "__main__":
    unittest.main()
