"""The OpenFlow side of the controller: listens for switches, sends flow changes, reads flows and ports.

The only file that imports os_ken, and of it only the protocol: its messages and their parsers. Its own controller class
sets TCP options, which a unix socket refuses, and passes each message through three threads; here the caller's thread
sends, and one native thread for each switch receives.

A unix controller target must lie in the switch's own run directory (Open vSwitch refuses others): put a symbolic link
there that points to the socket that `Server` listens on.
"""

import itertools
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeAlias

from os_ken.exception import OSKenException
from os_ken.ofproto import ofproto_parser, ofproto_v1_4, ofproto_v1_4_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from intercloud.control.fabric import Announcement, FlowChange, Verb
from intercloud.control.pipeline import BORDER, COOKIE, Action, Copy, Flow, Output, SetField
from intercloud.errors import ControlError

log = logging.getLogger(__name__)

_of = ofproto_v1_4
_msg = ofproto_v1_4_parser
_protocol = ProtocolDesc(_of.OFP_VERSION)
_EVERYTHING = 0xFFFFFFFFFFFFFFFF
_BUNDLE_FLAGS = _of.OFPBF_ATOMIC | _of.OFPBF_ORDERED
_EMPTY_FRAME = bytes.fromhex("ffffffffffff" + BORDER.replace(":", "") + "88b5") + bytes(46)
"""Ethernet type 88b5 is for local experiments (IEEE 802)."""

Message: TypeAlias = Any
"""One of os_ken's message objects; the library has no types."""


class Reply:
    """What comes back for something sent: wait for it, once or more often."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._done = threading.Event()
        self.ids = ids
        self.sent = 0.0
        self.ended = 0.0
        self.parts: list[Message] = []
        self.error: str | None = None

    def finish(self, error: str | None = None) -> None:
        """Called by the receiver when the last message is here, or the connection ended."""
        self.ended = time.monotonic()
        self.error = self.error or error
        self._done.set()

    def wait(self, timeout: float) -> float:
        """Wait for the end; returns seconds from the first byte sent to the last reply.

        Raises ControlError when the switch refused, went away, or does not answer within timeout seconds.
        """
        if not self._done.wait(timeout):
            raise ControlError(f"no answer within {timeout:g} s")
        if self.error is not None:
            raise ControlError(self.error)
        return self.ended - self.sent


@dataclass(frozen=True)
class Batch:
    """Messages ready to be sent in one piece, with their transaction ids; the reply to the last one ends it."""

    data: bytes
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Bundle:
    """Flow changes that a switch is given first and makes at a word, all or none. Each part ends with a barrier.

    Send `fill`; when that is answered, `commit` or `discard`. A switch forgets a bundle when the connection ends, and
    Open vSwitch also one of which it has heard nothing for ten seconds.
    """

    fill: Batch
    commit: Batch
    discard: Batch


class Switch:
    """One connected switch. Thread-safe. receiver: native id of the thread that serves it."""

    def __init__(self, connection: socket.socket, on_change: Callable[["Switch"], None]) -> None:
        self.datapath_id = ""
        self.receiver = 0
        self.ports: Mapping[str, int] = {}
        self._connection = connection
        self._on_change = on_change
        self._ids = itertools.count(1)
        self._send_lock = threading.Lock()
        self._replies: dict[int, Reply] = {}
        self._described: dict[str, int] = {}

    def prepare(self, changes: Iterable[FlowChange]) -> Batch:
        """Turn flow changes into one bundle (all or nothing) and a barrier; nothing is sent yet."""
        number = self._number()
        messages = [*_filling(number, changes), _control(number, _of.OFPBCT_COMMIT_REQUEST)]
        return self._batch(messages if len(messages) > 2 else [], _msg.OFPBarrierRequest(_protocol))

    def bundle(self, changes: Iterable[FlowChange]) -> Bundle:
        """Turn flow changes into one bundle that is sent first and made later; nothing is sent yet."""
        number = self._number()
        commit, discard = (_control(number, kind) for kind in (_of.OFPBCT_COMMIT_REQUEST, _of.OFPBCT_DISCARD_REQUEST))
        parts = _filling(number, changes), [commit], [discard]
        return Bundle(*(self._batch(part, _msg.OFPBarrierRequest(_protocol)) for part in parts))

    def send(self, batch: Batch) -> Reply:
        """Send a prepared batch; what is sent later is processed later."""
        reply = Reply(batch.ids)
        for xid in batch.ids:
            self._replies[xid] = reply
        try:
            with self._send_lock:
                reply.sent = time.monotonic()
                self._connection.sendall(batch.data)
        except OSError as error:
            reply.finish(f"connection to the switch lost: {error}")
        return reply

    def barrier(self) -> Reply:
        """Send a barrier alone: its time is the switch's plain round trip."""
        return self.send(self.prepare(()))

    def warm(self, ports: Iterable[int]) -> None:
        """Send an empty frame into these tunnels; the far end drops it.

        Open vSwitch's userspace datapath drops a tunnel's packets until it has resolved the peer's underlay address,
        so that is kept resolved: a cutover may turn all traffic to a tunnel that carried none before.
        """
        for port in ports:
            with suppress(OSError):  # a lost connection is noticed where it is read, and the warming repeated
                self._emit(port, _EMPTY_FRAME)

    def announce(self, what: Iterable[Announcement]) -> None:
        """Let the switches behind ports learn where to look for MAC addresses.

        For one that is here: by RARP in its name, as hypervisors do. For one behind them: it is asked, and answers.
        """
        for each in what:
            with suppress(OSError):  # said again before long
                self._emit(each.port, _rarp(each.endpoint.mac) if each.here else _arp_probe(each.endpoint.ip))

    def _emit(self, port: int, frame: bytes) -> None:
        actions = [_msg.OFPActionOutput(port, 0)]
        self._post(_msg.OFPPacketOut(_protocol, _of.OFP_NO_BUFFER, _of.OFPP_CONTROLLER, actions, frame))

    def flows(self, timeout: float) -> frozenset[Flow]:
        """Read our flows from the switch. Raises ControlError."""
        request = _msg.OFPFlowStatsRequest(
            _protocol, 0, _of.OFPTT_ALL, _of.OFPP_ANY, _of.OFPG_ANY, COOKIE, _EVERYTHING, _msg.OFPMatch()
        )
        reply = self.send(self._batch((), request))
        reply.wait(timeout)
        return frozenset(_read_flow(stats) for part in reply.parts for stats in part.body)

    def received(self, timeout: float) -> Mapping[int, int]:
        """Read how many packets each port has received so far. Raises ControlError."""
        reply = self.send(self._batch((), _msg.OFPPortStatsRequest(_protocol, 0, _of.OFPP_ANY)))
        reply.wait(timeout)
        return {stats.port_no: stats.rx_packets for part in reply.parts for stats in part.body}

    def close(self) -> None:
        """End the connection; the switch keeps its flows and connects again."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Receive until the connection ends, in the caller's thread. Raises ControlError, OSError."""
        self.receiver = threading.get_native_id()
        try:
            self._post(_msg.OFPHello(_protocol))
            self._receive()
        finally:
            self._connection.close()
            for reply in list(self._replies.values()):
                reply.finish("connection to the switch lost")

    def _number(self) -> int:
        return next(self._ids) & 0xFFFFFFFF

    def _batch(self, messages: Sequence[Message], last: Message) -> Batch:
        data, ids = bytearray(), []
        for message in (*messages, last):
            message.set_xid(self._number())
            message.serialize()
            data += message.buf
            ids.append(message.xid)
        return Batch(bytes(data), tuple(ids))

    def _post(self, message: Message) -> None:
        data = self._batch((), message).data
        with self._send_lock:
            self._connection.sendall(data)

    def _receive(self) -> None:
        buffer = bytearray()
        while chunk := self._connection.recv(1 << 16):
            buffer += chunk
            while len(buffer) >= _of.OFP_HEADER_SIZE:
                version, kind, length, xid = ofproto_parser.header(buffer)
                newer = kind == _of.OFPT_HELLO and version > _of.OFP_VERSION  # it will take the older one
                if length < _of.OFP_HEADER_SIZE or not (newer or version == _of.OFP_VERSION):
                    raise ControlError("it does not speak OpenFlow 1.4; set the bridge's protocols")
                if len(buffer) < length:
                    break
                self._handle(kind, xid, bytes(buffer[:length]))
                del buffer[:length]

    def _handle(self, kind: int, xid: int, data: bytes) -> None:
        if kind == _of.OFPT_BARRIER_REPLY:
            self._finish(xid)
        elif kind == _of.OFPT_MULTIPART_REPLY:
            self._multipart(xid, _parse(kind, xid, data))
        elif kind == _of.OFPT_ERROR:
            self._failed(_parse(kind, xid, data))
        elif kind == _of.OFPT_ECHO_REQUEST:
            echo = _msg.OFPEchoReply(_protocol, _parse(kind, xid, data).data)
            echo.set_xid(xid)
            echo.serialize()
            with self._send_lock:
                self._connection.sendall(echo.buf)
        elif kind == _of.OFPT_HELLO:
            self._post(_msg.OFPFeaturesRequest(_protocol))
        elif kind == _of.OFPT_FEATURES_REPLY:
            self.datapath_id = f"{_parse(kind, xid, data).datapath_id:016x}"
            self._post(_msg.OFPPortDescStatsRequest(_protocol, 0))
        elif kind == _of.OFPT_PORT_STATUS:
            self._port_status(_parse(kind, xid, data))
        elif kind == _of.OFPT_FLOW_REMOVED:
            self._on_change(self)

    def _finish(self, xid: int) -> None:
        reply = self._replies.get(xid)
        if reply is not None:
            for sent in reply.ids:
                self._replies.pop(sent, None)
            reply.finish()

    def _failed(self, message: Message) -> None:
        kind, code = _of.ofp_error_type_to_str(message.type), _of.ofp_error_code_to_str(message.type, message.code)
        reply = self._replies.get(message.xid)
        if reply is None:
            log.warning("switch %s: unexpected error %s %s", self.datapath_id, kind, code)
        elif reply.error is None:
            reply.error = f"the switch refused: {kind} {code}"

    def _multipart(self, xid: int, message: Message) -> None:
        more = message.flags & _of.OFPMPF_REPLY_MORE
        if message.type == _of.OFPMP_PORT_DESC:
            self._described.update((_text(port.name), port.port_no) for port in message.body)
            if not more:
                self.ports, self._described = self._described, {}
                self._on_change(self)
        elif (reply := self._replies.get(xid)) is not None:
            reply.parts.append(message)
            if not more:
                self._finish(xid)

    def _port_status(self, message: Message) -> None:
        name, number = _text(message.desc.name), message.desc.port_no
        others = {n: p for n, p in self.ports.items() if n != name and p != number}
        self.ports = others if message.reason == _of.OFPPR_DELETE else {**others, name: number}
        self._on_change(self)


class Server:
    """Listens for switches. `switches` holds the connected ones, by datapath id.

    on_change: called from a receiving thread when a switch came, went, or had its ports or flows changed.
    """

    def __init__(self, listen: str, on_change: Callable[[str], None]) -> None:
        self.switches: Mapping[str, Switch] = {}
        self._on_change = on_change
        self._lock = threading.Lock()
        self._listen = listen
        self._socket = _listen(listen)
        self.address = self._socket.getsockname()
        threading.Thread(target=self._accept, name="openflow-accept", daemon=True).start()

    def close(self) -> None:
        """Stop listening and end all connections; the switches keep their flows."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._listen.startswith("unix:"):
            Path(self._listen.removeprefix("unix:")).unlink(missing_ok=True)
        for switch in self.switches.values():
            switch.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            switch = Switch(connection, self._changed)
            threading.Thread(target=self._serve, args=(switch,), name="openflow-switch", daemon=True).start()

    def _serve(self, switch: Switch) -> None:
        try:
            switch.serve()
        except (OSError, ControlError, OSKenException, struct.error) as error:
            log.warning("switch %s: %s", switch.datapath_id or "(unknown)", error)
        with self._lock:
            if self.switches.get(switch.datapath_id) is switch:
                self.switches = {k: other for k, other in self.switches.items() if other is not switch}
        self._on_change(switch.datapath_id)

    def _changed(self, switch: Switch) -> None:
        with self._lock:
            former = self.switches.get(switch.datapath_id)
            self.switches = {**self.switches, switch.datapath_id: switch}
        if former is not None and former is not switch:
            former.close()
        self._on_change(switch.datapath_id)


def _rarp(mac: str) -> bytes:
    """Write an RARP request of this address for itself (RFC 903)."""
    return _broadcast(mac, 0x8035, 3, _bytes(mac) + bytes(4))


def _arp_probe(ip: str) -> bytes:
    """Write an ARP probe (RFC 5227): a question for this address by somebody who has none."""
    return _broadcast(BORDER, 0x0806, 1, bytes(6) + IPv4Address(ip).packed)


def _broadcast(sender: str, kind: int, operation: int, target: bytes) -> bytes:
    header = struct.pack("!HHHBBH", kind, 1, 0x0800, 6, 4, operation)
    return b"\xff" * 6 + _bytes(sender) + header + _bytes(sender) + bytes(4) + target + bytes(18)


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _listen(target: str) -> socket.socket:
    kind, _, address = target.partition(":")
    if kind == "unix":
        listener = socket.socket(socket.AF_UNIX)
        Path(address).unlink(missing_ok=True)
        listener.bind(address)
        listener.listen()
        return listener
    host, _, port = address.rpartition(":")
    if kind != "tcp" or not port.isdecimal():
        raise ControlError(f"cannot listen on {target!r}: expected unix:/path or tcp:host:port")
    return socket.create_server(
        (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    )


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _parse(kind: int, xid: int, data: bytes) -> Message:
    message = ofproto_parser.msg(_protocol, _of.OFP_VERSION, kind, len(data), xid, data)
    if message is None:
        raise ControlError(f"cannot read the switch's message of type {kind}")
    return message


def _control(bundle: int, kind: int) -> Message:
    return _msg.OFPBundleCtrlMsg(_protocol, bundle, kind, _BUNDLE_FLAGS, [])


def _filling(bundle: int, changes: Iterable[FlowChange]) -> Sequence[Message]:
    adds = [_msg.OFPBundleAddMsg(_protocol, bundle, _BUNDLE_FLAGS, _Ready(_flow_mod(each)), []) for each in changes]
    return [_control(bundle, _of.OFPBCT_OPEN_REQUEST), *adds]


def rehearse(changes: Iterable[FlowChange]) -> None:
    """Write these changes' messages, to have them ready when they are sent."""
    for change in changes:
        _flow_mod(change)


class _Ready:
    """A message that has been written before and only gets its transaction id: writing one anew takes 0.1 ms."""

    def __init__(self, data: bytes) -> None:
        self.buf = bytearray(data)
        self.xid = 0

    def set_xid(self, xid: int) -> None:
        self.xid = xid

    def serialize(self) -> None:
        struct.pack_into("!I", self.buf, 4, self.xid)


@lru_cache(maxsize=4096)
def _flow_mod(change: FlowChange) -> bytes:
    flow = change.flow
    message = _msg.OFPFlowMod(
        _protocol,
        cookie=COOKIE,
        cookie_mask=0 if change.verb is Verb.ADD else _EVERYTHING,
        table_id=flow.table,
        command=_of.OFPFC_ADD if change.verb is Verb.ADD else _of.OFPFC_DELETE_STRICT,
        priority=flow.priority,
        out_port=_of.OFPP_ANY,
        out_group=_of.OFPG_ANY,
        flags=_of.OFPFF_SEND_FLOW_REM,
        match=_msg.OFPMatch(**dict(flow.match)),
        instructions=_instructions(flow),
    )
    message.set_xid(0)
    message.serialize()
    return bytes(message.buf)


def _instructions(flow: Flow) -> list[Message]:
    instructions = []
    if flow.actions:
        actions = [_write_action(action) for action in flow.actions]
        instructions.append(_msg.OFPInstructionActions(_of.OFPIT_APPLY_ACTIONS, actions))
    if flow.metadata is not None:
        instructions.append(_msg.OFPInstructionWriteMetadata(*flow.metadata))
    if flow.goto is not None:
        instructions.append(_msg.OFPInstructionGotoTable(flow.goto))
    return instructions


def _write_action(action: Action) -> Message:
    match action:
        case Output(port):
            return _msg.OFPActionOutput(port, 0)
        case SetField(name, value):
            return _msg.OFPActionSetField(**{name: value})
        case Copy(source, target, bits):
            return _msg.NXActionRegMove(source, target, bits)


def _read_flow(stats: Message) -> Flow:
    actions: tuple[Action, ...] = ()
    metadata = goto = None
    for instruction in stats.instructions:
        if isinstance(instruction, _msg.OFPInstructionGotoTable):
            goto = instruction.table_id
        elif isinstance(instruction, _msg.OFPInstructionWriteMetadata):
            metadata = (instruction.metadata, instruction.metadata_mask)
        elif isinstance(instruction, _msg.OFPInstructionActions):
            actions = tuple(_read_action(action) for action in instruction.actions)
    return Flow(stats.table_id, stats.priority, frozenset(stats.match.items()), actions, metadata, goto)


def _read_action(action: Message) -> Action:
    """Turn one action into ours; what we never send becomes an action that equals none of ours."""
    if isinstance(action, _msg.OFPActionOutput):
        return Output(action.port)
    if isinstance(action, _msg.OFPActionSetField):
        return SetField(action.key, action.value)
    if isinstance(action, _msg.NXActionRegMove):
        return Copy(action.src_field.removesuffix("_nxm"), action.dst_field.removesuffix("_nxm"), action.n_bits)
    return SetField("foreign", str(action))
