"""The evidence that a move leaves behind, and what `intercloud verify` finds with it later."""

import json
import signal
import subprocess
import time
import unittest
from pathlib import Path

from intercloud.transfer.qmp import Qmp
from tests import needs
from tests.system.house import LABS, NAME, House

house: House


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    house = House()
    house.up()


def tearDownModule() -> None:
    house.down()


def verify(run: object) -> tuple[int, dict[str, str], str]:
    """Verify a run; returns the exit code, disk → what was said of it, and the complaint."""
    done = house.run("verify", str(run))
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    return done.returncode, lines, done.stderr


def flip(image: Path, place: int = 0) -> int:
    """Flip one bit of the first block that a disk's own layer has from a place on; returns the block's number."""
    told = subprocess.run(
        ["qemu-img", "map", "-U", "--output=json", str(image)], capture_output=True, check=True, timeout=20
    )
    own = (e for e in json.loads(told.stdout) if e["data"] and e["depth"] == 0)
    extent = next(e for e in own if e["start"] + e["length"] > place)
    start = max(place, extent["start"])
    with image.open("r+b") as file:
        file.seek(extent["offset"] + start - extent["start"])
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    return int(start) // 65536


@needs.lab
class Verify(unittest.TestCase):
    def test_a_move_and_what_can_be_told_of_it_later(self) -> None:
        found = house.migrate("lab-a", "lab-b")
        run = found["run"]
        with self.subTest("the report carries both sides' roots"):
            servers = found["servers"]
            assert isinstance(servers, list)
            disks = [disk for server in servers for disk in server["disks"]]
            self.assertEqual([disk["name"] for disk in disks], ["root"] * 3)
            for disk in disks:
                self.assertEqual(disk["root_at_source"], disk["root_at_target"])
                self.assertGreater(disk["blocks"], disk["written"])
        with self.subTest("running: equal"):
            code, lines, complaint = verify(run)
            self.assertEqual((code, set(lines)), (0, {"app root", "db root", "web root"}), complaint)
            for line in lines.values():
                self.assertRegex(line, r"^equal: \d+ blocks")
            self.assertIn("written since and not comparable", lines["db root"])
        with self.subTest("its monitor is in use"):
            self.busy(run)
        with self.subTest("a move that was taken back"):
            self.take_back()
            code, lines, complaint = verify(run)
            self.assertEqual(code, 0, lines)
            self.assertNotIn("bitmap is lost", " ".join(lines.values()))
        with self.subTest("stopped: equal, for the bitmap was stored"):
            cloud = house.cloud("lab-b")
            cloud.stop_server("app")
            code, lines, complaint = verify(run)
            self.assertEqual(code, 0, lines)
            self.assertRegex(lines["app root"], r"^equal: \d+ blocks")
            self.assertNotIn("bitmap is lost", lines["app root"])
        with self.subTest("a byte flipped behind its back"):
            image = Path(LABS, NAME, "lab-b", "servers", "app", "disk-root.qcow2")
            number = flip(image)
            code, lines, complaint = verify(run)
            self.assertEqual(code, 1)
            self.assertRegex(lines["app root"], rf"^DIFFERENT: 1 block, the first at byte {number * 65536}\b")
            self.assertTrue(lines["web root"].startswith("equal"))
            flip(image)
            cloud.start_server("app")
        house.up()  # waits until the application answers again
        with self.subTest("moved again"):
            later = house.migrate("lab-b", "lab-a")["run"]
            code, lines, complaint = verify(run)
            self.assertEqual(code, 1)
            for name, line in lines.items():
                self.assertIn(f"{name.split()[0]} was moved again, to lab-a; verify {later} instead", line)
            self.assertEqual(verify(later)[0], 0)
        with self.subTest("moved cold"):
            run = house.migrate("lab-a", "lab-b", "--strategy", "cold")["run"]
            code, lines, complaint = verify(run)
            self.assertEqual(code, 0, lines)
            self.assertIn("written since and not comparable", lines["db root"])
        with self.subTest("a piece of evidence is gone"):
            piece = house.path / "runs" / "evidence" / str(run) / "web.root.b3"
            piece.rename(piece.with_suffix(".away"))
            code, lines, complaint = verify(run)
            self.assertEqual(code, 1)
            self.assertRegex(lines["web root"], f"cannot tell: .*{run} has no evidence of it")
            piece.with_suffix(".away").rename(piece)
        with self.subTest("QEMU killed, so that its bitmap is lost"):
            cloud.guest("db").kill()
            code, lines, complaint = verify(run)
            self.assertEqual(code, 1)
            self.assertRegex(lines["db root"], r"^cannot tell: its dirty bitmap is lost .*; different: \d+ block")

    def take_back(self) -> None:
        """Begin to move back, and stop that while the memory is copied."""
        words = house.command("migrate", "--source", "lab-b", "--target", "lab-a", "--quiet")
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
            monitor = house.cloud("lab-b").monitor("web")
            landed = Path(LABS, NAME, "lab-a", "servers", "web", "qemu.pid")
            deadline = time.monotonic() + 60
            while not landed.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(3)
            running.send_signal(signal.SIGINT)
            self.assertEqual(running.wait(120), 1)
        with Qmp(monitor.path, "web") as qemu:
            nodes = qemu.execute("query-named-block-nodes", flat=True)
            assert isinstance(nodes, list)
            disk = next(node for node in nodes if node["node-name"] == monitor.nodes["root"])
            self.assertEqual([(b["name"][:10], b["persistent"]) for b in disk["dirty-bitmaps"]], [("since-shop", True)])

    def busy(self, run: object) -> None:
        monitor = house.cloud("lab-b").monitor("web")
        with Qmp(monitor.path, "somebody else"):
            code, lines, _ = verify(run)
        self.assertEqual(code, 1)
        self.assertRegex(lines["web root"], "cannot tell: the monitor of web at lab-b does not answer")
        self.assertTrue(lines["db root"].startswith("equal"))

    def test_a_run_of_which_nothing_is_known(self) -> None:
        code, lines, complaint = verify("../../etc")
        self.assertEqual((code, lines), (1, {}))
        self.assertRegex(complaint, r"has no evidence of a run '../../etc'")
        self.assertEqual(len(complaint.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
