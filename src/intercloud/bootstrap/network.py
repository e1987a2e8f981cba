"""The control layer of real clouds: its controller, told of every border that the configuration names."""

import time
from collections.abc import Callable
from pathlib import Path

from intercloud.bootstrap.wiring import control_socket, open_cloud
from intercloud.control import process
from intercloud.control.client import ControlClient, Registry, SwitchStatus
from intercloud.control.readiness import SILENT_S
from intercloud.settings import Settings


def network_up(settings: Settings, tell: Callable[[str], object]) -> None:
    """Start the controller unless it runs, tell it of every cloud's border and routers. Safe to repeat."""
    socket = control_socket(settings)
    if process.running(socket.parent) is None:
        socket.parent.mkdir(parents=True, exist_ok=True)
        process.spawn(socket.parent, settings.sdn.listen)
        tell(f"controller: started, waits for switches at {settings.sdn.listen}")
    clouds = [open_cloud(settings, name).about() for name in settings.clouds]
    sites = [each.site for each in clouds]
    with ControlClient(socket) as control:
        control.put(sites=sites, tunnel=settings.sdn.tunnel)
        control.put_routers({each.site.name: each.routers for each in clouds})
    tell(f"borders of {', '.join(site.name for site in sites)} are told to the controller")


def network_status(settings: Settings) -> tuple[list[str], bool]:
    """Say in lines how each border is, and whether all are well. Raises ControlError when no controller answers."""
    with ControlClient(control_socket(settings)) as control:
        registry, status = control.registry(), control.status()
    found = {name: trouble(registry, status.get(name), name, time.time()) for name in sorted(registry.sites)}
    lines = [f"tunnels: {registry.tunnel}; endpoints: {len(registry.endpoints)}"]
    lines += [f"border {name:12} {why or 'in order'}" for name, why in found.items()]
    return lines, not any(found.values())


def trouble(registry: Registry, switch: SwitchStatus | None, site: str, now: float) -> str:
    """Say what is wrong at a border; nothing when it is in order. now: time.time()."""
    if switch is None or not switch.connected:
        return "its switch is not connected to the controller"
    peers = registry.sites[site].underlay.keys() & registry.sites.keys()
    silent = sorted(peer for peer in peers if now - switch.heard.get(peer, 0.0) > SILENT_S)
    return switch.error or (f"nothing comes through the tunnel from {', '.join(silent)}" if silent else "")


def network_down(settings: Settings) -> Path:
    """Stop the controller; the switches keep their flows. Returns the folder of its state, which stays."""
    folder = control_socket(settings).parent
    process.stop(folder)
    return folder
