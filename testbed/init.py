"""The first process of one computer: private mounts, then reap what ends until it is ended itself.

Run by Python alone: `init.py NAME FOLDER [SEEN=INSTEAD …]`, in new mount, process and host-name namespaces.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def mount(*words: str) -> None:
    """Mount, or end with what mount says."""
    subprocess.run(["mount", *words], check=True, timeout=10)


def main(name: str, folder: Path, binds: list[str]) -> None:
    """Make the mounts and wait for children for ever."""
    mount("--make-rprivate", "/")
    socket.sethostname(name)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in ("libvirt", "openvswitch", "netns", "lock", "user"):
        Path("/run", place).mkdir()
    for here, there in (("lib", "/var/lib/libvirt"), ("log", "/var/log/libvirt"), ("cache", "/var/cache/libvirt")):
        Path(there).mkdir(parents=True, exist_ok=True)
        mount("--bind", str(folder / "libvirt" / here), there)
    Path("/etc/libvirt").mkdir(exist_ok=True)
    mount("--bind", str(folder / "etc" / "libvirt"), "/etc/libvirt")
    mount("--bind", str(folder / "etc" / "hosts"), "/etc/hosts")
    for bind in binds:
        seen, _, other = bind.partition("=")
        mount("--bind", other, seen)
    Path("/run/ready").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
