"""The guest as its users meet it: real QEMU machines on one bridge, in a network namespace for each test."""

import ctypes
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import config_drive, user_data
from intercloud.clouds.lab.spec import LabSpec
from tests import needs

HOSTS = {"web": "10.0.2.11", "app": "10.0.2.12", "db": "10.0.2.13"}
CLONE_NEWNET = 0x40000000
CACHE = LabSpec().cache


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


class Guest:
    """One QEMU machine on a tap of the namespace it is started in."""

    def __init__(self, folder: Path, name: str, *, cdrom: bool = False) -> None:
        self.name, self.address, self.cdrom = name, HOSTS[name], cdrom
        self.disk, self.serial, self.monitor = (folder / f"{name}.{kind}" for kind in ("qcow2", "log", "sock"))
        self.config = folder / f"{name}.iso"
        config_drive({"name": name}, user_data(name, name, f"{HOSTS[name]}/24", 1450, HOSTS), self.config)
        command("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(build_image(CACHE)), "-F", "qcow2", str(self.disk))
        command("ip", "tuntap", "add", name, "mode", "tap")
        command("ip", "link", "set", name, "master", "bridge", "up")

    def start(self) -> "Guest":
        words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-m", "128"]
        words += ["-M", "pc", "-accel", "tcg,tb-size=64", "-cpu", "qemu64", "-serial", f"file:{self.serial}"]
        words += ["-monitor", f"unix:{self.monitor},server=on,wait=off", "-drive", f"if=virtio,file={self.disk}"]
        config = "if=ide,media=cdrom" if self.cdrom else "if=virtio,readonly=on"
        words += ["-drive", f"{config},format=raw,file={self.config}", "-device", "virtio-rng-pci"]
        words += ["-netdev", f"tap,id=card,ifname={self.name},script=no,downscript=no,vnet_hdr=off"]
        mac = f"52:54:00:00:00:{self.address.rpartition('.')[2]}"
        words += ["-device", f"virtio-net-pci,netdev=card,mac={mac},romfile="]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        return self

    def wait_up(self, timeout: float = 60) -> None:
        end = time.monotonic() + timeout
        while f"GUEST-UP name={self.name} boot_id=" not in (self.serial.read_text() if self.serial.exists() else ""):
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"{self.name} did not come up: {self.serial.read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.serial.unlink(missing_ok=True)

    def command(self, line: str) -> str:
        """What QEMU's own monitor answers."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(5)
            channel.connect(str(self.monitor))
            for each in (b"", f"{line}\n".encode()):
                channel.sendall(each)
                said = b""
                while not said.endswith(b"(qemu) ") and (more := channel.recv(4096)):
                    said += more
        return said.decode()

    def http(self, method: str, path: str, body: str | None = None, port: int = 8080) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @contextmanager
    def lines(self, port: int = 5000) -> Iterator["Lines"]:
        with socket.create_connection((self.address, port), 20) as channel:
            yield Lines(channel)


class Lines:
    """A connection that speaks lines."""

    def __init__(self, channel: socket.socket) -> None:
        self.file = channel.makefile("rw", encoding="utf-8", newline="\n")

    def ask(self, line: str) -> str:
        self.file.write(line + "\n")
        self.file.flush()
        return self.file.readline().rstrip("\n")

    def dump(self) -> list[str]:
        found = [self.ask("DUMP")]
        while found[-1] != "END":
            found.append(self.file.readline().rstrip("\n"))
        return found[:-1]


class Machines(unittest.TestCase):
    """Each test has a folder, a network namespace and a bridge; its machines are killed at its end."""

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """In a thread of its own, which alone enters the namespace; the namespace ends with thread and machines."""
        found: list[unittest.TestResult | None] = []
        thread = threading.Thread(target=lambda: found.append(super(Machines, self).run(result)))
        thread.start()
        thread.join()
        return found[0]

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        command("ip", "link", "add", "bridge", "type", "bridge")
        command("ip", "address", "add", "10.0.2.1/24", "dev", "bridge")
        command("ip", "link", "set", "bridge", "up")

    def boot(self, *names: str, cdrom: bool = False) -> list[Guest]:
        guests = [Guest(self.folder, name, cdrom=cdrom).start() for name in names]
        for guest in guests:
            self.addCleanup(guest.kill)
        for guest in guests:
            guest.wait_up()
        return guests


@needs.guest
class OneGuest(Machines):
    def test_an_acknowledged_record_survives_kill_9(self) -> None:
        (db,) = self.boot("db")
        with db.lines() as lines:
            self.assertEqual(lines.ask("COUNT"), "OK 0")
            self.assertEqual(lines.ask("PUT first"), "OK 1")
            self.assertEqual(lines.ask("PUT zwölf Boxkämpfer"), "OK 2")
            self.assertEqual(lines.ask("PUT END"), "ERR not recorded")
            self.assertEqual(lines.ask("PUT third"), "OK 3")
        db.kill()
        db.start().wait_up()
        with db.lines() as lines:
            self.assertEqual(lines.dump(), ["first", "zwölf Boxkämpfer", "third"])
            self.assertEqual(lines.ask("PUT fourth"), "OK 4")
        self.assertEqual(json.loads(db.http("GET", "/state")[1])["boots"], 2)

    def test_state_counts_in_memory_and_hot_dirties_it(self) -> None:
        (app,) = self.boot("app")
        before = json.loads(app.http("GET", "/state")[1])
        self.assertLess(self.dirty_rate(app), 4)
        self.assertEqual(app.http("POST", "/hot?mib=16&rate=24")[0], 200)
        self.assertGreater(self.dirty_rate(app), 12)  # of 16 MiB; each page counts once a second
        self.assertEqual(app.http("POST", "/hot?mib=4000")[0], 507)
        after = json.loads(app.http("GET", "/state")[1])
        self.assertEqual((after["name"], after["boots"], after["hot_mib"]), ("app", 1, 16))
        self.assertEqual(after["boot_id"], before["boot_id"])
        counted, passed = after["memory_counter"] - before["memory_counter"], after["uptime_s"] - before["uptime_s"]
        self.assertAlmostEqual(counted, passed * 10, delta=passed * 3 + 2)
        app.http("POST", "/hot?mib=0")
        self.assertLess(self.dirty_rate(app), 4)

    def dirty_rate(self, guest: Guest) -> int:
        """MiB that the guest wrote to in one second."""
        guest.command("calc_dirty_rate 1 16384")
        time.sleep(1.5)
        found = re.search(r"Dirty rate: (\d+)", guest.command("info dirty_rate"))
        assert found is not None
        return int(found[1])

    def test_echo(self) -> None:
        (app,) = self.boot("app")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.settimeout(5)
            channel.connect((app.address, 7))
            for size in (0, 1, 1400):
                payload = os.urandom(size)
                channel.send(payload)
                self.assertEqual(channel.recv(2000), payload)
        sent = os.urandom(1 << 20)
        with socket.create_connection((app.address, 7), 20) as stream:
            threading.Thread(target=stream.sendall, args=(sent,)).start()
            got = b""
            while len(got) < len(sent):
                got += stream.recv(65536) or self.fail("the stream ended")
        self.assertEqual(got, sent)

    def test_who_it_is_from_a_cdrom_and_the_power_button(self) -> None:
        (web,) = self.boot("web", cdrom=True)
        self.assertEqual(json.loads(web.http("GET", "/peers")[1]), {"web": True, "app": False, "db": False})
        self.assertEqual(web.http("GET", "/health", port=80)[0], 502)
        web.command("system_powerdown")
        self.assertEqual(web.process.wait(20), 0)


@needs.guest
class ThreeTiers(Machines):
    def test_records_go_through_all_tiers_by_name(self) -> None:
        web, _, db = self.boot("web", "app", "db")
        self.assertEqual(web.http("GET", "/health", port=80), (200, "ok\n"))
        self.assertEqual(json.loads(web.http("GET", "/peers")[1]), {"web": True, "app": True, "db": True})
        self.assertEqual(json.loads(web.http("POST", "/records", "eins", port=80)[1]), {"record": 1})
        self.assertEqual(json.loads(web.http("GET", "/put?text=a+b%26c", port=80)[1]), {"record": 2})
        for bad in ("", "two\nlines", "END", "x" * 1001):
            self.assertEqual(web.http("POST", "/records", bad, port=80)[0], 400)
        self.assertEqual(web.http("GET", "/records", port=80), (200, "eins\na b&c\n"))
        self.many_clients(web)
        db.kill()
        self.assertEqual(web.http("GET", "/health", port=80)[0], 502)
        db.start().wait_up()
        self.until_healthy(web)
        self.assertEqual(json.loads(web.http("POST", "/records", "again", port=80)[1]), {"record": 203})

    def many_clients(self, web: Guest) -> None:
        """Ten at once, each on one connection that stays open; every record gets its own number."""
        numbers: list[int] = []

        def talk(client: int) -> None:
            connection = http.client.HTTPConnection(web.address, 80, timeout=30)
            for record in range(20):
                connection.request("POST", "/records", f"client {client} record {record}")
                numbers.append(json.loads(connection.getresponse().read())["record"])
            connection.close()

        clients = [threading.Thread(target=talk, args=(number,)) for number in range(10)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)
        self.assertEqual(sorted(numbers), list(range(3, 203)))
        dump = web.http("GET", "/records", port=80)[1].splitlines()
        self.assertEqual(len(set(dump)), 202)

    def until_healthy(self, web: Guest, timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while web.http("GET", "/health", port=80)[0] != 200:
            self.assertLess(time.monotonic(), end, "the application does not come back with its database")


@needs.guest
class Image(unittest.TestCase):
    def test_a_second_call_is_instant_and_a_killed_build_leaves_no_image(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        shutil.copy(next(build_image(CACHE).parent.glob("linux-image-*.deb")), folder)
        killed = self.build(folder)
        time.sleep(1)
        killed.kill()
        killed.communicate(timeout=20)
        self.assertEqual(list(folder.glob("*.qcow2")), [])
        together = [self.build(folder) for _ in range(2)]
        paths = {process.communicate(timeout=120)[0].strip() for process in together}
        start = time.monotonic()
        image = build_image(folder)
        self.assertLess(time.monotonic() - start, 0.5)
        self.assertEqual(paths, {str(image)})
        self.assertEqual(image.read_bytes(), build_image(CACHE).read_bytes())
        self.assertEqual(len([path for path in folder.iterdir() if path.is_file()]), 3)  # package, lock, image

    def build(self, folder: Path) -> subprocess.Popen[str]:
        program = "from intercloud.clouds.lab.guest.build import *; import sys; print(build_image(Path(sys.argv[1])))"
        return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
