"""The report on a terminal."""

import unittest
from dataclasses import replace

from intercloud.cli.text import render
from intercloud.model.report import Status

from .report_sample import REPORT
from .test_report_html import cold

LIVE = """\
shop: lab-a -> lab-b, live: completed
  shop runs at lab-b; lab-a is released

  downtime, UDP    54.1 ms (± 3.0 ms): 10450 sent, 0 lost, 0 duplicated
  downtime, TCP    49.0 ms (± 10.0 ms): 0 broken
  downtime, HTTP   102.0 ms (± 50.0 ms): 203 sent, 0 failed
  writes           203 acknowledged, 0 of them lost
  migration time   9.9 s
  over the WAN     61.0 MiB for 636.0 MiB
  split window     61.3 ms
  reconfiguration  420 µs: lab-a 310 µs (2.6 x its barrier), lab-b 290 µs (2.2 x its barrier), office 330 µs (2.8 x its barrier)

  server  strategy  sent       rounds  blackout  limit    x limit  disks
  web     live      212.0 MiB  4       41.2 ms   30.5 ms  1.35     equal
  app     live      212.0 MiB  4       38.6 ms   30.5 ms  1.27     equal
  db      live      212.0 MiB  4       54.1 ms   30.5 ms  1.77     equal

  disk      blocks  written since  compared  root at source    root at target
  web root  4096    0              equal     0123456789abcdef  0123456789abcdef
  app root  4096    0              equal     89abcdef01234567  89abcdef01234567
  db root   4096    3              equal     fedcba9876543210  fedcba9876543210

  web, app, db: live: both clouds give access to their hypervisors
  tcg, vxlan, WAN 387.2 Mbit/s, 10.4 ms round trip, 2 CPUs, load 1.4, run 20261123-041500-7f3a
"""  # noqa: E501


class TestText(unittest.TestCase):
    maxDiff = None

    def test_a_live_move(self) -> None:
        self.assertEqual(render(REPORT), LIVE)

    def test_what_does_not_apply_is_a_dash(self) -> None:
        text = render(cold(REPORT))
        self.assertIn("  web     cold      212.0 MiB  -       -         -      -        -\n", text)
        self.assertNotIn("downtime", text)

    def test_a_disk_that_differs(self) -> None:
        disk = replace(REPORT.servers[2].disks[0], root_at_target="0" * 64, equal=False)
        text = render(replace(REPORT, servers=(replace(REPORT.servers[2], disks=(disk,)),)))
        self.assertIn("  db root  4096    3              DIFFERENT  fedcba9876543210  0000000000000000\n", text)

    def test_a_failure_with_its_findings(self) -> None:
        text = render(replace(REPORT, status=Status.FAILED, message="no answer", findings=("db: down",), servers=()))
        self.assertTrue(text.startswith("shop: lab-a -> lab-b, live: failed\n  no answer\n  db: down\n"), text)


if __name__ == "__main__":
    unittest.main()
