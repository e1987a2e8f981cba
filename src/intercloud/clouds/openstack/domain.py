"""Definitions of libvirt's domains, read and changed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from intercloud.errors import CloudError

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ElementTree.register_namespace("qemu", QEMU)


def receiving(xml: str) -> str:
    """A domain's definition, changed so that it waits for its memory."""
    tree = ElementTree.fromstring(xml)
    words = ElementTree.SubElement(tree, f"{{{QEMU}}}commandline")
    for word in ("-incoming", "defer"):
        ElementTree.SubElement(words, f"{{{QEMU}}}arg", value=word)
    return ElementTree.tostring(tree, encoding="unicode")


def incoming(xml: str) -> Sequence[str]:
    """Words that a domain's hypervisor was given besides libvirt's own."""
    return [word.attrib["value"] for word in ElementTree.fromstring(xml).iter(f"{{{QEMU}}}arg")]


def alias(xml: str, device: str) -> str:
    """What a running domain calls one of its disks."""
    for disk in ElementTree.fromstring(xml).findall("./devices/disk"):
        target, name = disk.find("target"), disk.find("alias")
        if target is not None and name is not None and target.attrib["dev"] == device:
            return name.attrib["name"]
    raise CloudError(f"the domain has no disk {device}")


def root_node(blocks: Sequence[Mapping[str, Any]], name: str) -> str:
    """The block node under a disk."""
    for block in blocks:
        if f"/{name}/" in f"{block.get('qdev', '')}/" and "inserted" in block:
            return str(block["inserted"]["node-name"])
    raise CloudError(f"the hypervisor has no disk {name}")
