"""Definitions of libvirt's domains, read and changed. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from intercloud.errors import CloudError

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ElementTree.register_namespace("qemu", QEMU)


PLACE = ("domain", "bus", "slot", "function")
"""What an address on a PCI bus consists of."""


def layout(xml: str) -> Mapping[str, str]:
    """Where a domain's devices are on its PCI buses: device → address. What a running system has found there stays."""
    return {
        name: " ".join(address.attrib[part] for part in PLACE)
        for name, _, address in _addresses(ElementTree.fromstring(xml))
    }


def _addresses(tree: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element, ElementTree.Element]]:
    """Names that two domains have for devices of one kind, the devices, and their addresses."""
    seen: Counter[str] = Counter()
    for device in tree.findall("./devices/*"):
        address, target, mac = device.find("address[@type='pci']"), device.find("target"), device.find("mac")
        if address is None:
            continue
        name = " ".join([device.tag, *(device.attrib[kind] for kind in ("type", "model") if kind in device.attrib)])
        if device.tag == "disk" and target is not None:
            name = f"disk {target.attrib['dev']}"
        elif mac is not None:
            name = f"card {mac.attrib['address']}"
        seen[name] += 1
        yield f"{name} {seen[name]}", device, address


def receiving(xml: str, wanted: Mapping[str, str]) -> str:
    """A domain's definition, changed so that it waits for its memory. wanted: where its devices shall be (`layout`).

    A server whose volumes were attached while it ran is another machine than one that was built with them.
    """
    tree = ElementTree.fromstring(xml)
    for name, device, address in list(_addresses(tree)) if wanted else ():
        if name in wanted:
            address.attrib.update(zip(PLACE, wanted[name].split(), strict=True))
        else:
            device.remove(address)
    words = ElementTree.SubElement(tree, f"{{{QEMU}}}commandline")
    for word in ("-incoming", "defer"):
        ElementTree.SubElement(words, f"{{{QEMU}}}arg", value=word)
    return ElementTree.tostring(tree, encoding="unicode")


def incoming(xml: str) -> Sequence[str]:
    """Words that a domain's hypervisor was given besides libvirt's own."""
    return [word.attrib["value"] for word in ElementTree.fromstring(xml).iter(f"{{{QEMU}}}arg")]


def aliases(xml: str) -> Mapping[str, str]:
    """What a running domain calls its disks, by their devices; a config drive is none."""
    found = {}
    for disk in ElementTree.fromstring(xml).findall("./devices/disk[@device='disk']"):
        target, name = disk.find("target"), disk.find("alias")
        if target is not None and name is not None:
            found[target.attrib["dev"]] = name.attrib["name"]
    return found


def node(blocks: Sequence[Mapping[str, Any]], name: str) -> str:
    """The block node under a disk."""
    for block in blocks:
        if f"/{name}/" in f"{block.get('qdev', '')}/" and "inserted" in block:
            return str(block["inserted"]["node-name"])
    raise CloudError(f"the hypervisor has no disk {name}")
