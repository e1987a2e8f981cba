"""The machine that a hypervisor has built. Memory crosses only into one that is the same, device by device."""

from collections.abc import Iterator, Mapping
from typing import Any

from intercloud.transfer.qmp import Qmp


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """One line for each part that is not the same in two machines."""
    return [
        f"{part} is {ours.get(part, 'missing')} here and {theirs.get(part, 'missing')} there"
        for part in sorted(ours.keys() | theirs.keys())
        if ours.get(part) != theirs.get(part)
    ]


def machine(qemu: Qmp) -> Mapping[str, str]:
    """What a hypervisor has built: part → what it is. Raises MonitorError."""
    ask: Any = qemu.execute
    processors = ask("query-hotpluggable-cpus")
    return {
        "the machine type": ask("qom-get", path="/machine", property="type").removesuffix("-machine"),
        "the processor": f"{len(processors)} x {processors[0]['type']}",
        "the memory": f"{ask('query-memory-size-summary')['base-memory']} bytes",
        **{name: what for bus in ask("query-pci") for name, what in devices(bus)},
    }


def devices(bus: Any) -> Iterator[tuple[str, str]]:
    """What is on a PCI bus, as QMP tells it, and behind its bridges: place → model and name."""
    for device in bus["devices"]:
        model = device["id"]
        place = f"{bus['bus']:02x}:{device['slot']:02x}.{device['function']}"
        # libvirt puts "ua-" before a name of others' choice: a volume's is another in each cloud
        name = "" if device["qdev_id"].startswith("ua-") else device["qdev_id"]
        yield f"the PCI device {place}", f"{model['vendor']:04x}:{model['device']:04x} {name}".rstrip()
        if "pci_bridge" in device:
            bridge = device["pci_bridge"]
            yield from devices({"bus": bridge["bus"]["number"], "devices": bridge.get("devices", ())})
