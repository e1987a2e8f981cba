"""The lab with everything that makes it useful: its controller, its demo cluster, and a client in the office."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from intercloud.bootstrap.wiring import CLIENT, control_folder, lab_spec, open_cloud, vantage_prefix
from intercloud.clouds.lab import demo, emulator, lab
from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec
from intercloud.clouds.port import ServerState
from intercloud.control import process
from intercloud.control.client import ControlClient, Endpoint
from intercloud.endpoints.health import Vantage
from intercloud.errors import CloudUnreachable
from intercloud.model.server import Cluster, Nic, Server
from intercloud.model.site import Placement
from intercloud.settings import Settings
from intercloud.units import show_rate, show_seconds

BOOT = 120.0
"""Seconds for the demo cluster to answer after its servers have been started."""
Tell = Callable[[str], object]


def lab_up(settings: Settings, tell: Tell) -> None:
    """Make the lab or repair it: sites, WAN, controller, demo cluster, client. Safe to repeat, and after a kill."""
    spec = lab_spec(settings)
    tell(f"lab {spec.name}: sites {', '.join(site.name for site in spec.sites)}, and the WAN between them")
    lab.up(spec)
    controller_up(spec, control_folder(settings))
    emulator.prepare(spec.cache, tell)
    clouds = [LabCloud(place) for place in spec.places() if place.spec.cloud]
    with ControlClient(control_folder(settings) / process.SOCKET_FILE) as control:
        control.put(sites=[place.site() for place in spec.places()], tunnel=settings.sdn.tunnel)
        tell("guest image: built once from Debian's kernel, then kept in the cache")
        cluster = demo.cluster(clouds[0].image_add(build_image(spec.cache), "guest"))
        control.put(networks=cluster.networks)
        _client_up(spec, settings, cluster, control)
        tell(f"cluster {cluster.name}: {', '.join(server.name for server in cluster.servers)}")
        for server in cluster.servers:
            _server_up(clouds, cluster, server, control)
    if prefix := vantage_prefix(settings):
        wait_for_application(prefix, cluster)
    if len(clouds) > 1:
        path = clouds[0].reach(clouds[1].name)
        tell(f"WAN {clouds[0].name} to {clouds[1].name}: {show_rate(path.rate)}, round trip {show_seconds(path.rtt)}")


def controller_up(spec: LabSpec, folder: Path) -> None:
    """Start the controller of all sites, unless it runs; its state is in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "openflow.sock"
    for place in spec.places():  # a switch looks for its controller's socket in its own run directory only
        link = place.ovs / "controller.sock"
        if not link.is_symlink():
            link.symlink_to(socket)
    process.spawn(folder, f"unix:{socket}")


def _server_up(clouds: list[LabCloud], cluster: Cluster, server: Server, control: ControlClient) -> None:
    """Boot a server where it is; a new one at the first cloud. One at two clouds is being moved, and left alone."""
    homes = [cloud for cloud in clouds if cloud.server_state(server.name) is not ServerState.ABSENT]
    home = homes[0] if homes else clouds[0]
    if len(homes) > 1 or home.server_state(server.name) in (ServerState.RUNNING, ServerState.PAUSED):
        return
    placement = home.create_server(cluster, server)
    home.start_server(server.name)
    register(server.name, server.nics[0], placement, control)


def register(name: str, nic: Nic, placement: Placement, control: ControlClient) -> None:
    """Tell the controller of an endpoint, and plug it where it is."""
    port = placement.ports[nic.mac]
    control.put(endpoints=[Endpoint(name, nic.network, nic.mac, nic.ip, placement.site, {placement.site: port})])
    control.plug(nic.mac, placement.site, port)


def _client_up(spec: LabSpec, settings: Settings, cluster: Cluster, control: ControlClient) -> None:
    if settings.probe.vantage in settings.lab.sites:
        client = lab.client(spec.place(settings.probe.vantage), CLIENT, demo.CLIENT, cluster.networks[0])
        register(CLIENT, demo.CLIENT, client.placement, control)


def wait_for_application(prefix: Sequence[str], cluster: Cluster) -> None:
    """Wait until all servers and the health URL, if there is one, answer behind `prefix`. Raises CloudUnreachable."""
    where = {server.name: server.nics[0].ip for server in cluster.servers}
    deadline = time.monotonic() + BOOT
    while True:
        seen = Vantage(prefix).look(where, cluster.health)
        if seen.healthy is not False and len(seen.servers) == len(where):
            return
        if time.monotonic() > deadline:
            silent = ", ".join(sorted(set(where) - set(seen.servers))) or "the health URL"
            raise CloudUnreachable(f"{cluster.name} does not answer after {BOOT:.0f} s: {silent}")
        time.sleep(0.5)


def lab_status(settings: Settings) -> tuple[list[str], bool]:
    """Say in lines what runs where, and whether all of it does."""
    spec = lab_spec(settings)
    found = lab.status(spec)
    lines = [f"lab {spec.name}: {'up' if found.up else 'not up'}; WAN {'up' if found.wan else 'down'}"]
    controller = process.running(control_folder(settings))
    lines.append(f"controller: {f'process {controller}' if controller else 'not running'}")
    for site in found.sites:
        parts = f"namespace {'yes' if site.namespace else 'no'}, switch {'up' if site.switch else 'down'}"
        lines.append(f"site {site.name:12} {parts}")
    for name in settings.clouds:
        cloud = open_cloud(settings, name)
        for cluster in cloud.clusters() if found.up else ():
            states = (f"{s.name} {cloud.server_state(s.name)}" for s in cloud.cluster(cluster).servers)
            lines.append(f"cluster {cluster:9} at {name}: {', '.join(states)}")
    return lines, found.up and controller is not None


def lab_down(settings: Settings) -> None:
    """Remove all of it, to the last process and file; what is in the cache stays."""
    folder = control_folder(settings)
    if folder.exists():
        process.stop(folder)
    lab.down(lab_spec(settings))
