"""Does QEMU itself lose pages of a busy guest under TCG? Two QEMUs, and nothing of ours but the commands.

    .venv/bin/python -m benchmarks.page_loss [--qemu PROGRAM] [--transfers N] [--rounds N]

The guest is a boot sector that adds one to every word of 512 KiB, for ever. Its memory is sent in so many rounds, so
slowly that it never ends by itself; then the source is stopped, the rest sent, and the RAM of both compared, by pages.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from intercloud.clouds.lab.qemu import TCG_EXTRA_KIB
from intercloud.transfer.memory import Memory
from intercloud.transfer.qmp import Qmp
from intercloud.units import KIB, MIB, Seconds

RAM = 16 * MIB + TCG_EXTRA_KIB * KIB
"""No multiple of 256 KiB: that is another mistake of QEMU's (decision 0002)."""
PAGE = 4096
BUSY = bytes.fromhex(
    "fa"  # cli
    "bb0010"  # again: mov bx, 0x1000      segment by segment
    "8ec3"  # next: mov es, bx
    "31ff"  # xor di, di
    "26ff05"  # word: inc word [es:di]
    "83c702"  # add di, 2
    "75f8"  # jnz word
    "81c30010"  # add bx, 0x1000
    "81fb0090"  # cmp bx, 0x9000
    "72ea"  # jb next
    "ebe5"  # jmp again
)
SLOW = 96 * MIB
"""Bytes a second: a round takes 5 ms, more than QEMU's downtime limit of 1 ms."""
LONG = Seconds(60.0)


def boot_sector(path: Path) -> None:
    """Write the guest's disk."""
    path.write_bytes(BUSY.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 * MIB))


def start(program: str, folder: Path, name: str, *more: str) -> "subprocess.Popen[bytes]":
    """Start one of the two."""
    words = [program, "-machine", "pc", "-accel", "tcg", "-m", f"size={RAM // KIB}K", "-display", "none", "-nodefaults"]
    words += ["-drive", f"file={folder}/boot,format=raw,if=ide,snapshot=on"]
    words += ["-qmp", f"unix:{folder}/{name},server=on,wait=off", *more]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + LONG
    while not (folder / name).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def ram(qemu: Qmp, path: Path) -> bytes:
    """Read all of a stopped guest's memory."""
    qemu.execute("pmemsave", val=0, size=RAM, filename=str(path))
    return path.read_bytes()


def begin(source: Qmp, target: Qmp) -> None:
    """Let the memory go, slowly from its first byte; `Memory.start` does not wait that long."""
    for qemu in (source, target):
        names = ("events", "pause-before-switchover")
        qemu.execute("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in names])
    source.execute("migrate-set-parameters", max_bandwidth=SLOW, downtime_limit=1)
    uri = f"tcp:127.0.0.1:{random.randrange(20000, 30000)}"
    target.execute("migrate-incoming", uri=uri)
    source.execute("migrate", uri=uri)


def transfer(program: str, rounds: int) -> int:
    """Send the memory of a busy guest; returns how many pages differ at the target."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        boot_sector(folder / "boot")
        processes = [start(program, folder, "source"), start(program, folder, "target", "-incoming", "defer", "-S")]
        try:
            with Qmp(str(folder / "source"), "source") as source, Qmp(str(folder / "target"), "target") as target:
                time.sleep(1)  # the firmware comes first
                memory = Memory(source, target)
                mark, there = source.mark(), target.mark()
                begin(source, target)
                if not memory.wait_round(rounds, LONG):
                    raise SystemExit(f"round {rounds} did not come within {LONG:.0f} s")
                source.execute("stop")
                memory.release()
                memory.wait_flushed(LONG, mark)
                memory.load(LONG, there)
                here, arrived = ram(source, folder / "here"), ram(target, folder / "arrived")
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        return sum(here[at : at + PAGE] != arrived[at : at + PAGE] for at in range(0, RAM, PAGE))


def main() -> None:
    """Print one line for each transfer that lost something, and the sum."""
    parser = argparse.ArgumentParser(prog="benchmarks.page_loss")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--transfers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    version = subprocess.run([options.qemu, "--version"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[0]
    bad = 0
    for number in range(1, options.transfers + 1):
        pages = transfer(options.qemu, options.rounds)
        bad += bool(pages)
        if pages:
            sys.stderr.write(f"transfer {number}: {pages} pages differ\n")
    sys.stdout.write(f"{version}: {bad} of {options.transfers} transfers of {options.rounds} rounds lost pages\n")


if __name__ == "__main__":
    main()
