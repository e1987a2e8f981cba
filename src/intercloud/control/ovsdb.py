"""One switch's Open vSwitch database: what it holds, and changes to it. The only file here that imports ovsdbapp."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.exceptions import OvsdbAppException
from ovsdbapp.schema.open_vswitch import impl_idl

from intercloud.control.tunnels import (
    Bridge,
    Change,
    Layout,
    Port,
    PutBridge,
    PutPort,
    RemoveBridge,
    RemovePort,
)
from intercloud.errors import ControlError

# It logs a traceback for each interface that cannot be opened; `Found.errors` tells that, and who cares is told.
logging.getLogger(impl_idl.__name__).setLevel(logging.CRITICAL)

Row: TypeAlias = Any
"""A row of ovsdbapp's replica; the library has no types."""

_MARK = {"intercloud": "yes"}
_TIMEOUT_S = 5
_COLUMNS = {
    "Open_vSwitch": ("bridges", "next_cfg", "cur_cfg"),
    "Bridge": ("name", "ports", "datapath_type", "fail_mode", "protocols", "other_config", "controller"),
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("name", "type", "options", "ofport", "error"),
    "Controller": ("target", "max_backoff", "connection_mode"),
}


@dataclass(frozen=True)
class Found:
    """What a database holds. errors: why the switch could not open a port's device, by port name."""

    layout: Layout
    errors: Mapping[str, str]


class _Replica(connection.OvsdbIdl):  # type: ignore[misc]
    """The library's copy of the database, which tells of every change."""

    on_change: Callable[[], None]

    def notify(self, event: str, row: Row, updates: Row | None = None) -> None:  # noqa: ARG002
        self.on_change()


class _Api(impl_idl.OvsdbIdl):  # type: ignore[misc]
    """The library keeps one connection for each class; we need one for each switch."""

    _own: Row = None

    @property
    def ovsdb_connection(self) -> Row:
        return self._own

    @ovsdb_connection.setter
    def ovsdb_connection(self, value: Row) -> None:
        self._own = value


class Database:
    """A connection to one database; it reconnects by itself. Thread-safe.

    on_change: called from the connection's thread whenever something that concerns us changed.
    Every method raises ControlError when the database, or the switch behind it, does not answer.
    """

    def __init__(self, target: str, on_change: Callable[[], None]) -> None:
        with _errors(target):
            helper = idlutils.get_schema_helper(target, "Open_vSwitch")
            for table, columns in _COLUMNS.items():
                helper.register_columns(table, list(columns))
            replica = _Replica(target, helper)
            replica.on_change = on_change
            self._connection = connection.Connection(replica, _TIMEOUT_S)
            self._api = _Api(self._connection)
        self.target = target

    def close(self) -> None:
        """End the connection."""
        self._connection.stop(_TIMEOUT_S)

    def read(self, bridge: str) -> Found:
        """Read a bridge and its ports, as far as they are ours to compare."""
        with self._connection.lock:
            row = next((row for row in self._rows("Bridge") if row.name == bridge), None)
            if row is None:
                return Found(Layout(None, {}), {})
            pairs = [(port, port.interfaces[0]) for port in row.ports if port.name != bridge and port.interfaces]
            ports = {port.name: _port(port, interface) for port, interface in pairs}
            errors = {port.name: interface.error[0] for port, interface in pairs if interface.error}
            return Found(Layout(_bridge(row), ports), errors)

    def apply(self, bridge: str, changes: Sequence[Change]) -> None:
        """Make these changes in one transaction; returns when the switch has taken them up."""
        if not changes:
            return
        found = self.read(bridge).layout
        with _errors(self.target), self._api.transaction(check_error=True, log_errors=False) as transaction:
            for change in changes:
                for command in self._commands(bridge, change, found):
                    transaction.add(command)

    def _rows(self, table: str) -> Sequence[Row]:
        return list(self._api.tables[table].rows.values())

    def _commands(self, bridge: str, change: Change, found: Layout) -> Iterator[Row]:
        match change:
            case PutBridge(wanted):
                yield from self._put_bridge(wanted)
            case RemoveBridge():
                yield self._api.del_br(bridge)
            case PutPort(port):
                yield from self._put_port(bridge, port, found)
            case RemovePort(name):
                yield self._api.del_port(name, bridge)

    def _put_bridge(self, bridge: Bridge) -> Iterator[Row]:
        yield self._api.add_br(bridge.name, datapath_type=bridge.datapath_type)
        yield self._api.db_set(
            "Bridge",
            bridge.name,
            ("fail_mode", bridge.fail_mode),
            ("protocols", sorted(bridge.protocols)),
            ("other_config", dict(bridge.options)),
        )
        yield self._api.set_controller(bridge.name, [bridge.controller])
        yield self._api.db_set(
            "Controller",
            bridge.name,
            ("max_backoff", bridge.max_backoff),
            ("connection_mode", bridge.connection_mode),
        )

    def _put_port(self, bridge: str, port: Port, found: Layout) -> Iterator[Row]:
        if port.name not in found.ports:
            yield self._api.add_port(bridge, port.name, may_exist=False, type=port.type, options=dict(port.options))
        else:
            yield self._api.db_clear("Interface", port.name, "options")
            yield self._api.db_set("Interface", port.name, ("type", port.type), ("options", dict(port.options)))
        yield self._api.db_set("Port", port.name, ("external_ids", _MARK))


def _bridge(row: Row) -> Bridge:
    controller = row.controller[0] if len(row.controller) == 1 else None
    return Bridge(
        row.name,
        row.datapath_type,
        {key: row.other_config[key] for key in ("datapath-id", "disable-in-band") if key in row.other_config},
        controller.target if controller else None,
        next(iter(row.fail_mode), None),
        frozenset(row.protocols),
        next(iter(controller.max_backoff), None) if controller else None,
        next(iter(controller.connection_mode), None) if controller else None,
    )


def _port(port: Row, interface: Row) -> Port:
    ours = _MARK.items() <= port.external_ids.items()
    return Port(port.name, interface.type, dict(interface.options), ours)


@contextmanager
def _errors(target: str) -> Iterator[None]:
    try:
        yield
    except (OvsdbAppException, RuntimeError, OSError) as error:
        raise ControlError(f"{target}: {error}") from error
    except Exception as error:
        # The library says in no better way that a database does not answer.
        if type(error) is not Exception:
            raise
        raise ControlError(f"{target}: {error}") from error
