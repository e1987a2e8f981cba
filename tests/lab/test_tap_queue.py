"""What waits for a guest that stands still."""

import os
import subprocess
import sys
import unittest

from intercloud.clouds.lab import net
from tests import needs

FRAMES = 5000
READER = f"""
import fcntl, os, pathlib, socket, struct, time
tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x1002))  # TUNSETIFF: IFF_TAP, IFF_NO_PI
while pathlib.Path("/sys/class/net/tap0/operstate").read_text() != "up\\n":
    time.sleep(0.01)  # until then the kernel drops what is sent
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("tap0", 0))
for number in range({FRAMES}):
    sender.send(bytes(12) + b"\\x88\\xb5" + number.to_bytes(4) + bytes(42))
seen = set()
try:
    while frame := os.read(tap, 2048):
        if frame[12:14] == b"\\x88\\xb5":
            seen.add(frame[14:18])
except BlockingIOError:
    print(len(seen))
"""


@needs.root
class TapQueue(unittest.TestCase):
    def test_five_seconds_of_a_probe_wait_for_a_guest_that_does_not_read(self) -> None:
        namespace = f"ic-tap-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", namespace], check=True, timeout=10)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", namespace], check=True, timeout=10)
        net.add_tap(namespace, "tap0", 1500)
        words = ["ip", "netns", "exec", namespace, sys.executable, "-c", READER]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
        self.assertEqual(int(said), FRAMES)
