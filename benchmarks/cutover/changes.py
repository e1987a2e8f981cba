"""What each contender sends, as data: steps of flows, made from those before the act and those after it. Pure.

All contenders change the same flows; they differ in what carries a change, and in the order of the switches.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from intercloud.control.fabric import Ports, placement
from intercloud.control.pipeline import Flow
from intercloud.control.registry import Registry

OVERLAP_S = 0.05
"""How long clone-then-prune sends to both places: several times what a packet takes from one site to another."""

_HEADER = struct.Struct("!BBHI")
_BARRIER, _BUNDLE_ADD = 20, 34
_BUNDLE_ADD_HEAD, _COMMAND = 16, 25
"""Bytes of a bundle-add message before the message in it, and where a flow message has its command (OpenFlow 1.4)."""


class Form(IntEnum):
    """How flows are sent. All but BUNDLE are commands of flow messages that go one by one."""

    BUNDLE = -1
    ADD = 0
    MODIFY = 2
    DELETE = 4


@dataclass(frozen=True)
class Changed:
    """A flow that the act changes, as it was and as it shall be; of the same key."""

    was: Flow
    becomes: Flow


@dataclass(frozen=True)
class Step:
    """Flows for some switches at the same time; it is over when all barriers are back. pause_s: waited before it."""

    flows: Mapping[str, tuple[Flow, ...]]
    form: Form
    pause_s: float = 0.0


Plan = tuple[Step, ...]
Pairs = Mapping[str, tuple[Changed, ...]]
"""By site."""


def changed(before: Registry, after: Registry, macs: Collection[str], ports: Mapping[str, Ports]) -> Pairs:
    """Find the flows that depend on where these endpoints are, at every site, in the order of the MAC addresses."""
    found = {}
    for site, numbers in ports.items():
        old, new = (placement(each, macs, site, numbers, flooding=True) for each in (before, after))
        found[site] = tuple(Changed(*pair) for pair in zip(old, new, strict=True) if pair[0] != pair[1])
    return found


def modify(pairs: Pairs) -> Plan:
    """One message for each flow, to all switches at the same time."""
    return (Step(_all(pairs), Form.MODIFY),)


def bundle(pairs: Pairs) -> Plan:
    """One bundle for each switch, to all at the same time."""
    return (Step(_all(pairs), Form.BUNDLE),)


def delete_then_add(pairs: Pairs) -> Plan:
    """Delete what was, everywhere; when that is confirmed, add what shall be."""
    return Step(_all(pairs, was=True), Form.DELETE), Step(_all(pairs), Form.ADD)


def clone_then_prune(pairs: Pairs, old: str, new: str) -> Plan:
    """Let the new place deliver, send to both from everywhere else; after a while, to the new one only."""
    becomes = _all(pairs)
    others = {site: tuple(_both(each) for each in here) for site, here in pairs.items() if site not in (old, new)}
    return (
        Step({new: becomes[new]}, Form.BUNDLE),
        Step(others, Form.BUNDLE),
        Step({site: flows for site, flows in becomes.items() if site != new}, Form.BUNDLE, OVERLAP_S),
    )


def back(pairs: Pairs) -> Plan:
    """Make everything as it was, whatever of the act was done."""
    return (Step(_all(pairs, was=True), Form.BUNDLE),)


def loose(data: bytes, command: int) -> bytes:
    """Take flow messages out of a bundle, so that they are the same but for this command; a barrier stays the end."""
    messages, at = bytearray(), 0
    while at < len(data):
        _, kind, length, _ = _HEADER.unpack_from(data, at)
        if kind == _BUNDLE_ADD:
            flow = bytearray(data[at + _BUNDLE_ADD_HEAD : at + length])
            flow[_COMMAND] = command
            messages += flow
        elif kind == _BARRIER:
            messages += data[at : at + length]
        at += length
    return bytes(messages)


def _all(pairs: Pairs, *, was: bool = False) -> Mapping[str, tuple[Flow, ...]]:
    return {site: tuple(each.was if was else each.becomes for each in here) for site, here in pairs.items()}


def _both(each: Changed) -> Flow:
    return replace(each.becomes, actions=(*each.was.actions, *each.becomes.actions))
