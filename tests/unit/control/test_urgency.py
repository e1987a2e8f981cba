"""Threads are urgent while it is asked for, and no longer."""

import os
import threading
import unittest

from intercloud.control.urgency import urgent


def policy(thread: int) -> int:
    return os.sched_getscheduler(thread)


class TestUrgent(unittest.TestCase):
    def setUp(self) -> None:
        self.stop = threading.Event()
        self.other = threading.Thread(target=self.stop.wait)
        self.other.start()
        self.addCleanup(self.other.join)
        self.addCleanup(self.stop.set)
        self.id = self.other.native_id or 0

    def test_threads_are_urgent_for_a_while(self) -> None:
        try:
            os.sched_setscheduler(self.id, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            self.skipTest("no real-time priorities here")
        os.sched_setscheduler(self.id, os.SCHED_OTHER, os.sched_param(0))
        with self.assertRaises(ZeroDivisionError), urgent([self.id]):
            self.assertEqual({policy(0), policy(self.id)}, {os.SCHED_RR})
            raise ZeroDivisionError
        self.assertEqual({policy(0), policy(self.id)}, {os.SCHED_OTHER})

    def test_a_thread_that_has_ended_is_left_out(self) -> None:
        self.stop.set()
        self.other.join()
        with urgent([self.id]):
            pass
        self.assertEqual(policy(0), os.SCHED_OTHER)
