"""The probe's process against a real application on loopback."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import CONFIG, ProbeConfig, ProbeResult
from intercloud.errors import CloudUnreachable
from intercloud.model import report
from intercloud.units import Seconds

from .application import Application


def config(application: Application, samples: str | None = None, ready_within: float = 5.0) -> ProbeConfig:
    return ProbeConfig(
        run="t1",
        targets=application.targets,
        stream="web",
        web=f"127.0.0.1:{application.http_port}",
        udp_rate=1000,
        ready_within=ready_within,
        echo_port=application.echo_port,
        samples=samples,
    )


class TestProbe(unittest.TestCase):
    def probe(self, application: Application, seconds: float, samples: str | None = None) -> ProbeResult:
        with Probe.start((), config(application, samples)) as probe:
            time.sleep(seconds)
            return probe.stop()

    def test_a_healthy_application(self) -> None:
        with Application() as application, tempfile.TemporaryDirectory() as folder:
            seen = self.probe(application, 1.5, f"{folder}/samples")
            lines = Path(folder, "samples").read_text().splitlines()
        self.assertEqual(set(seen.udp), {"web", "app", "db"})
        for measure in seen.udp.values():
            self.assertEqual((measure.lost, measure.duplicated), (0, 0))
            self.assertGreater(measure.sent, 300)
        assert seen.tcp
        assert seen.http
        self.assertEqual((seen.broken, seen.http.lost, seen.lost_writes, seen.tcp.lost), (0, 0, 0, 0))
        self.assertGreater(seen.acknowledged, 15)
        self.assertEqual({line.split("\t")[0] for line in lines}, {"udp web", "udp app", "udp db", "tcp", "http"})
        self.assertEqual(report.UdpProbe, type(seen.report(Seconds(seen.begin)).udp))

    def test_a_pause_of_the_application_is_measured_by_all_three(self) -> None:
        with Application() as application, Probe.start((), config(application)) as probe:
            time.sleep(0.4)
            application.silent_until = time.monotonic() + 0.3
            time.sleep(0.8)
            seen = probe.stop()
        assert seen.tcp
        assert seen.http
        for measure in (*seen.udp.values(), seen.tcp, seen.http):
            self.assertAlmostEqual(measure.downtime, 0.3, delta=0.1)
            self.assertEqual(measure.lost, 0)
        self.assertEqual(seen.broken, 0)

    def test_a_stall_of_the_prober_is_not_the_applications(self) -> None:
        with Application() as application, Probe.start((), config(application)) as probe:
            time.sleep(0.3)
            os.kill(probe.pid, signal.SIGSTOP)
            time.sleep(0.4)
            os.kill(probe.pid, signal.SIGCONT)
            time.sleep(0.3)
            seen = probe.stop()
        self.assertGreater(seen.late, 0.35)
        assert seen.tcp
        assert seen.http
        for measure in (*seen.udp.values(), seen.tcp, seen.http):
            self.assertLess(measure.downtime, 0.15)
            self.assertEqual(measure.lost, 0)

    def test_an_acknowledged_record_that_is_gone_is_a_lost_write(self) -> None:
        with Application() as application:
            application.forget = True
            seen = self.probe(application, 0.5)
        self.assertEqual(seen.lost_writes, (seen.acknowledged + 1) // 2)

    def test_a_stream_that_is_closed_is_broken_once_and_opened_again(self) -> None:
        with Application() as application, Probe.start((), config(application)) as probe:
            time.sleep(0.3)
            application.epoch += 1
            time.sleep(0.3)
            seen = probe.stop()
        self.assertEqual(seen.broken, 1)

    def test_silence_at_the_start_is_an_error_that_names_who_is_silent(self) -> None:
        with Application() as application:
            application.mute = frozenset({"db"})
            with self.assertRaisesRegex(CloudUnreachable, r"no answer within 1 s from db \(UDP echo\)$"):
                Probe.start((), config(application, ready_within=1.0))

    def test_a_wrong_prefix_is_an_error_with_its_text(self) -> None:
        with Application() as application, self.assertRaisesRegex(CloudUnreachable, "namespace"):
            Probe.start(("ip", "netns", "exec", "icp-nowhere"), config(application))

    def test_a_probe_that_was_killed_is_an_error(self) -> None:
        with Application() as application, Probe.start((), config(application)) as probe:
            os.kill(probe.pid, signal.SIGKILL)
            with self.assertRaisesRegex(CloudUnreachable, "the probe of the application died"):
                probe.stop()

    def test_no_process_stays_behind(self) -> None:
        with (
            Application() as application,
            self.assertRaises(KeyboardInterrupt),
            Probe.start((), config(application)) as probe,
        ):
            raise KeyboardInterrupt
        self.assertFalse(Path(f"/proc/{probe.pid}").exists())

    def test_the_probe_ends_when_its_parent_is_killed(self) -> None:
        code = """
import sys, time
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import CONFIG
print(Probe.start((), CONFIG.validate_json(sys.argv[1])).pid, flush=True)
time.sleep(60)
"""
        with Application() as application:
            text = CONFIG.dump_json(config(application)).decode()
            with subprocess.Popen([sys.executable, "-c", code, text], stdout=subprocess.PIPE, text=True) as parent:
                assert parent.stdout
                process = Path(f"/proc/{int(parent.stdout.readline())}")
                parent.kill()
            deadline = time.monotonic() + 10
            while process.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertFalse(process.exists())


if __name__ == "__main__":
    unittest.main()
