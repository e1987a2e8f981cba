"""The lab in which contenders meet: sites, WAN, controller, and two clients in the office.

One client is on the border bridges, which the controller rules; the other on bridges that learn, for contenders that
know no controller (segment.py). Servers of whoever is not being measured are paused: nobody pays for another's guests.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from intercloud.bootstrap.lab import controller_up, register
from intercloud.bootstrap.wiring import CLIENT, control_folder, control_socket, lab_spec
from intercloud.clouds.lab import demo, emulator, lab, net
from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec, Place, WanSpec
from intercloud.clouds.run import run
from intercloud.control import process
from intercloud.control.client import ControlClient
from intercloud.model.server import Image
from intercloud.model.site import Tunnel
from intercloud.settings import Settings, load
from intercloud.units import BitsPerSecond, Seconds

LAB = "bench"
SOURCE, TARGET, OFFICE = "lab-a", "lab-b", "office"
UNLIMITED_MBIT = 20_000.0
"""More than the emulated WAN carries on any machine."""
LOWAT = "net.ipv4.tcp_notsent_lowat"
UNTUNED = {
    LOWAT: "4294967295",
    "net.ipv4.tcp_slow_start_after_idle": "1",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
}
"""Linux' own (Documentation/networking/ip-sysctl.rst)."""


@dataclass(frozen=True)
class Wan:
    """What is between the sites. delay_ms: one way."""

    rate_mbit: float = UNLIMITED_MBIT
    delay_ms: float = 0.0

    def spec(self) -> WanSpec:
        """The same as the lab has it."""
        return WanSpec(BitsPerSecond(self.rate_mbit * 1e6), Seconds(self.delay_ms / 1e3))


class Stage:
    """The lab while it is up. config: a configuration file for the command line; image: of every server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        migration = {"state": str(folder / "runs"), "keep_seeds": False}
        self.config.write_text(json.dumps({"lab": {"name": LAB}, "migration": migration}))
        self.settings: Settings = load(self.config)
        self.spec: LabSpec = lab_spec(self.settings)
        self.unsent: int | None = None

    def up(self) -> None:
        """Bring up what all scenarios share."""
        lab.up(self.spec)
        controller_up(self.spec, control_folder(self.settings))
        emulator.prepare(self.spec.cache, print)
        guest = build_image(self.spec.cache)
        self.images = {name: self.cloud(name).image_add(guest, "guest") for name in (SOURCE, TARGET)}
        with self.control() as control:
            control.put(sites=[place.site() for place in self.spec.places()], networks=[demo.NETWORK])
            client = lab.client(self.place(OFFICE), CLIENT, demo.CLIENT, demo.NETWORK)
            register(CLIENT, demo.CLIENT, client.placement, control)
        self.prefix = client.prefix
        self.client = client.namespace

    @property
    def image(self) -> Image:
        """What every server boots from, at both sites."""
        return self.images[SOURCE]

    def down(self) -> None:
        """Take everything down."""
        process.stop(control_folder(self.settings))
        lab.down(self.spec)

    def hold(self, wan: Wan, tunnel: str = Tunnel.VXLAN) -> None:
        """Let the WAN and the tunnels be like this from now on."""
        self.spec = replace(self.spec, wan=wan.spec())
        lab.up(self.spec)
        with self.control() as control:
            control.put(tunnel=Tunnel(tunnel))

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Let the clouds' sockets be as Linux has them, or with `unsent` bytes at most that wait to be sent.

        The lab itself sets them as our documentation recommends.
        """
        spaces = [self.place(site).namespace for site in (SOURCE, TARGET)]
        bound = {LOWAT: str(self.unsent)} if self.unsent else {}
        for space in spaces:
            net.set_sysctls(space, UNTUNED | bound)
        try:
            yield
        finally:
            for space in spaces:
                net.set_sysctls(space, net.SYSCTLS)

    def control(self) -> ControlClient:
        """Reach the controller."""
        return ControlClient(control_socket(self.settings))

    def sent(self, site: str) -> int:
        """Bytes that a site has sent to others by TCP, headers and all, as its kernel counts."""
        shown = run(["ip", "-n", self.place(site).namespace, "-s", "-j", "link", "show", "wan"])
        return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])

    def place(self, site: str) -> Place:
        """Where a site is, with the WAN as it is now."""
        return self.spec.place(site)

    def cloud(self, site: str) -> LabCloud:
        """Open a cloud."""
        return LabCloud(self.place(site))


@contextmanager
def stage() -> Iterator[Stage]:
    """Bring the lab up, and take it down in the end whatever happens."""
    with tempfile.TemporaryDirectory(prefix="intercloud-bench-") as folder:
        made = Stage(Path(folder))
        lab.down(made.spec)
        try:
            made.up()
            yield made
        finally:
            made.down()
