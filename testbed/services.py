"""The services of one cloud: how each is started, in which order, and when all are ready. The schemas come before."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from intercloud.clouds.run import run, wait_until
from testbed import hub
from testbed.files import DATABASES, database
from testbed.host import enter, environment, run_on, runs_on, start_on
from testbed.layout import PASSWORD, PORTS, Host

NEUTRON = "neutron/neutron.conf"
CINDER = "cinder/cinder.conf"
API = ("uwsgi", "--processes", "1", "--threads", "4", "--enable-threads", "--lazy-apps", "--need-app", "--thunder-lock",
       "--die-on-term", "--buffer-size", "65535", "--add-header", "Connection: close", "--so-keepalive",
       "--disable-logging")  # fmt: skip
MODULES: Mapping[str, tuple[str, ...]] = {
    "keystone": ("keystone.wsgi.api:application",),
    "placement": ("placement.wsgi.api:application",),
    # Nova uploads snapshots in chunks, of which uwsgi takes 1 MB by default: the image then vanishes
    "glance": ("glance.wsgi.api:application", "--chunked-input-limit", "134217728", "--chunked-input-timeout", "60"),
    "neutron": ("neutron.wsgi.api:application",),
    "nova": ("nova.wsgi.osapi_compute:application",),
    "cinder": ("cinder.wsgi.api:application", "--pyargv", f"--config-file={{etc}}/{CINDER}"),
}
"""API → its module, and what else uwsgi shall do for it. {etc}: the cloud's folder of configurations."""


@dataclass(frozen=True)
class Service:
    """One that is not an API. config: files in the cloud's folder of configurations."""

    name: str
    config: Sequence[str]

    def words(self, host: Host) -> list[str]:
        """Spell its command."""
        return [self.name, *(f"--config-file={host.etc / each}" for each in self.config)]


SERVICES = (
    Service("neutron-rpc-server", (NEUTRON, "neutron/ml2_conf.ini")),
    Service("nova-conductor", ("nova/nova.conf",)),
    Service("nova-scheduler", ("nova/nova.conf",)),
    Service("nova-compute", ("nova/nova-cpu.conf",)),
)
AGENTS = (
    Service("neutron-openvswitch-agent", (NEUTRON, "neutron/openvswitch_agent.ini")),
    Service("neutron-dhcp-agent", (NEUTRON, "neutron/dhcp_agent.ini")),
)
"""These wait for a minute or two when the RPC server does not consume yet: they are started last."""
STORAGE = (
    Service("cinder-scheduler", (CINDER,)),
    Service("cinder-volume", (CINDER,)),
)
"""Nobody waits for these: they are started while the agents wait."""


ROUTERS = Service("neutron-l3-agent", (NEUTRON, "neutron/l3_agent.ini"))
"""Makes routers route. Few need it: who does starts it."""


def prepared(host: Host) -> bool:
    """Whether the schemas are complete: all that are wanted now."""
    made = host.path / "prepared"
    return made.exists() and made.read_text() == " ".join(DATABASES)


def make_schemas(host: Host) -> None:
    """Make every database of a cloud anew, and Keystone's first user."""
    for name in DATABASES:
        full = f"{host.database}_{name}"
        hub.sql(f"drop database if exists {full}; create database {full} character set utf8mb3")
    for keys in ("fernet", "credential"):
        folder = host.path / "state" / "keystone" / keys
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_manage, host, chain) for chain in _chains(host)]:
            done.result()
    (host.path / "prepared").write_text(" ".join(DATABASES))


def _chains(host: Host) -> Sequence[Sequence[Sequence[str]]]:
    """Commands: those of one chain wait for each other, chains do not. Two processors: two chains of like length."""
    etc, url = host.etc, f"http://{host.address}:5000/v3"
    keystone = ("keystone-manage", "--config-file", f"{etc}/keystone/keystone.conf")
    nova = ("nova-manage", "--config-file", f"{etc}/nova/nova.conf")
    neutron = ("neutron-db-manage", "--config-file", f"{etc}/{NEUTRON}", "--config-file", f"{etc}/neutron/ml2_conf.ini")
    owner = ("--keystone-user", "root", "--keystone-group", "root")
    first = [f"--bootstrap-{interface}-url={url}" for interface in ("admin", "public", "internal")]
    cell0 = database(host, "nova_cell0")
    return (
        (
            (*keystone, "db_sync"),
            (*keystone, "fernet_setup", *owner),
            (*keystone, "credential_setup", *owner),
            (*keystone, "bootstrap", "--bootstrap-password", PASSWORD, f"--bootstrap-region-id={host.region}", *first),
            ("glance-manage", "--config-file", f"{etc}/glance/glance-api.conf", "db_sync"),
            ("placement-manage", "--config-file", f"{etc}/placement/placement.conf", "db", "sync"),
            (*neutron, "upgrade", "heads"),
        ),
        (
            (*nova, "api_db", "sync"),
            (*nova, "cell_v2", "map_cell0", "--database_connection", cell0),
            (*nova, "cell_v2", "create_cell", "--name", "cell1"),
            (*nova, "db", "sync"),
            ("cinder-manage", "--config-file", f"{etc}/{CINDER}", "db", "sync"),
        ),
    )


def _manage(host: Host, chain: Sequence[Sequence[str]]) -> None:
    for words in chain:
        run(["env", *(f"{key}={value}" for key, value in environment(host).items()), *enter(host, words)], timeout=300)


def start_ground(host: Host) -> None:
    """Start what the services stand on: the computer's own switch, and libvirt."""
    if not runs_on(host, "ovs-vswitchd"):
        _start_switch(host)
    for daemon in ("virtlogd", "libvirtd"):
        if not runs_on(host, daemon):
            listen = ["--listen"] if daemon == "libvirtd" else []
            start_on(host, daemon, [daemon, *listen, "-f", f"/etc/libvirt/{daemon}.conf"])
    wait_until(lambda: run_on(host, ["virsh", "-q", "version"]), f"{host.name}: libvirt", 30, 0.2)


def _start_switch(host: Host) -> None:
    """Start an empty switch: what was plugged before the computer was switched off is gone."""
    file = host.run / "ovs.db"
    file.unlink(missing_ok=True)
    logs = ("-vconsole:off", "--pidfile", "--detach")
    database_logs, switch_logs = (f"--log-file={host.log}/{name}.log" for name in ("ovsdb", "vswitchd"))
    for words in (
        ("ovsdb-tool", "create", str(file), "/usr/share/openvswitch/vswitch.ovsschema"),
        ("ovsdb-server", str(file), "--remote=punix:/run/openvswitch/db.sock", database_logs, *logs),
        ("ovs-vsctl", "--no-wait", "init"),
        ("ovs-vswitchd", switch_logs, *logs),
        ("ovs-vsctl", "add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=netdev",
         "--", "add-port", "br-ex", "eth1"),
        ("ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"),
        ("ip", "link", "set", "br-ex", "up"),
        # as Linux' own datapath does since 5.11: a connection that has gone on elsewhere meanwhile is no invalid one
        ("ovs-appctl", "dpctl/ct-disable-tcp-seq-chk"),
    ):  # fmt: skip
        run(enter(host, words))


def start_apis(host: Host) -> None:
    """Start the APIs and wait until their ports are open. Applications load later; their first requests wait."""
    for name, (module, *more) in MODULES.items():
        if not runs_on(host, module):
            listen = ("--http-socket", f"{host.address}:{PORTS[name]}", "--procname-prefix", f"{name} ")
            start_on(host, name, [*API, *listen, "--module", module, *(word.format(etc=host.etc) for word in more)])
    wait_until(lambda: all(_listens(host, port) for port in PORTS.values()), f"{host.name}: its APIs", 60, 0.5)


def _listens(host: Host, port: int) -> bool:
    return run(enter(host, ["ss", "-Hltn", f"src {host.address}:{port}"])).strip() != ""


def start_services(host: Host) -> None:
    """Start all that are not APIs; those that run are left alone."""
    for service in SERVICES:
        start(host, service)
    hub.wait_for_consumer(host, "q-plugin")  # neutron-rpc-server
    for service in (*AGENTS, *STORAGE):
        start(host, service)


def start(host: Host, service: Service) -> None:
    """Start one unless it runs."""
    if not runs_on(host, f"/{service.name}"):
        log = f"--log-file={host.log / service.name}.log"
        start_on(host, service.name, [*service.words(host), log])
