"""A site's Open vSwitch: its daemons, and the bridge that leads tunnels to the uplink.

The border bridge is not made here: it belongs to the control layer, which finds the database by Place.site().
"""

from collections.abc import Sequence

from intercloud.clouds.lab.net import batch, processes
from intercloud.clouds.lab.spec import Place, mac_of
from intercloud.clouds.run import command_line, find_process, inside, kill, run, urgently

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
BRIDGE = "br-wan"


def up(place: Place) -> None:
    """Start what of the switch does not run, and give the bridge its port and address; safe to repeat."""
    place.ovs.mkdir(parents=True, exist_ok=True)
    database = place.ovs / "conf.db"
    if not database.exists():
        part = place.ovs / "conf.part"
        part.unlink(missing_ok=True)
        run(["ovsdb-tool", "create", str(part), SCHEMA])
        part.replace(database)
    start(place, "ovsdb-server", [str(database), f"--remote=punix:{place.ovs}/db.sock"])
    vsctl(place, ["--no-wait", "init"])
    start(place, "ovs-vswitchd", [f"unix:{place.ovs}/db.sock"])
    words = ["--may-exist", "add-br", BRIDGE]
    words += ["--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail_mode=standalone"]
    words += [f'other-config:hwaddr="{mac_of(place.tunnel_address)}"']
    words += ["--", "--may-exist", "add-port", BRIDGE, "tun-o"]
    words += ["--", "set", "interface", BRIDGE, f"mtu_request={place.lab.wan.mtu}"]
    vsctl(place, words)
    address = ("addr", "replace", f"{place.tunnel_address}/24", "dev", BRIDGE)
    batch(place.namespace, [("link", "set", BRIDGE, "up"), address])


def end_lost(place: Place) -> None:
    """End a switch that has lost its database.

    In user space it forwards nothing and spins, at the priority of a switch, until it has looked for the database
    again: after up to 8 s.
    """
    if not running(place, "ovsdb-server"):
        kill(running(place, "ovs-vswitchd"))


def running(place: Place, daemon: str) -> list[int]:
    """Processes of one daemon at this site."""
    return [pid for pid in processes(place.namespace) if command_line(pid)[:1] == (daemon,)]


def start(place: Place, daemon: str, words: Sequence[str]) -> None:
    """Start one daemon in the background unless its process lives. It is ready when this returns."""
    pid_file = place.ovs / f"{daemon}.pid"
    there = running(place, daemon)
    if there and there == [find_process(pid_file, daemon)]:
        return
    # One that was cut off before it wrote its pid file would share the database with the next.
    kill(there)
    options = ["--detach", "--no-chdir", f"--pidfile={pid_file}", f"--log-file={place.ovs}/{daemon}.log"]
    options += [f"--unixctl={place.ovs}/{daemon}.ctl", "-vconsole:off", "-vsyslog:off"]
    environment = [f"OVS_RUNDIR={place.ovs}", f"OVS_LOGDIR={place.ovs}", f"OVS_DBDIR={place.ovs}"]
    # A session of its own, once it is in the namespace, where `down` finds it: a daemon whose starter is killed with us
    # dies when it wants to tell it that it is ready, which may be after the next `up` has found it alive.
    run(inside(place.namespace, ["env", *environment, "setsid", *urgently(), daemon, *words, *options]))


def vsctl(place: Place, words: Sequence[str]) -> str:
    """Change the site's database; returns when the switch has done it (10 s at most), unless words say --no-wait."""
    return run(["ovs-vsctl", f"--db=unix:{place.ovs}/db.sock", "--timeout=10", *words])
