"""What a test needs that not every machine has. A skip says the reason; where INTERCLOUD_NO_SKIP=1 it is a failure."""

import os
import shutil
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T", bound=Callable[..., object] | type[unittest.TestCase])


def _missing(programs: tuple[str, ...]) -> str:
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in programs if shutil.which(name) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def postgres_programs() -> Path | None:
    """Where Debian keeps the programs of its newest Postgres: not on the path, for there can be several."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)


def _unless(reason: str) -> Callable[[_T], _T]:
    if os.environ.get("INTERCLOUD_NO_SKIP") == "1":
        reason = ""
    return unittest.skipIf(bool(reason), reason)


def require(mark: Callable[[type[unittest.TestCase]], type[unittest.TestCase]]) -> None:
    """Skip a whole module in its setUpModule, as a mark would skip a class."""
    probe = mark(type("Probe", (unittest.TestCase,), {}))
    if getattr(probe, "__unittest_skip__", False):
        raise unittest.SkipTest(getattr(probe, "__unittest_skip_why__", ""))


def absent(test: unittest.TestCase, reason: str) -> None:
    """Skip a test that has found out by itself what is not there."""
    if os.environ.get("INTERCLOUD_NO_SKIP") == "1":
        test.fail(reason)
    test.skipTest(reason)


def long(test: _T) -> _T | None:
    """Leave a test that takes a minute or more to `make test-long`; a shorter one of its kind is run always."""
    return test if os.environ.get("INTERCLOUD_LONG") == "1" else None


root = _unless(_missing(()))

switches = _unless(_missing(("ip", "ethtool", "ovsdb-server", "ovs-vswitchd", "ovsdb-tool", "ovs-ofctl", "ovs-vsctl")))
"""Root and Open vSwitch: switches in network namespaces."""

_GUEST = ("qemu-system-x86_64", "qemu-img", "genisoimage", "musl-gcc", "syslinux", "mcopy", "mkfs.vfat", "depmod")
_LAB = ("ip", "tc", "ethtool", "sysctl", "setpriv", "ping", "iperf3", "cc", "qemu-storage-daemon", "nbdinfo")
_SWITCH = ("ovsdb-server", "ovs-vswitchd", "ovsdb-tool", "ovs-vsctl")

guest = _unless(_missing(_GUEST))
"""QEMU and what builds its guests."""

postgres = _unless(_missing(("setpriv",)) or ("" if postgres_programs() else "needs postgresql"))
"""Root, to become another user, and Postgres: its server refuses to run as root."""

lab = _unless(_missing(_GUEST + _LAB + _SWITCH))
"""Everything that the lab runs on."""
