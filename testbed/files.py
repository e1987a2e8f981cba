"""The configuration of everything, rendered from templates. Pure, but for reading the templates."""

import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template

from testbed.layout import HOSTS, HUB, OPERATOR_ADDRESS, PASSWORD, PROVIDER, VENV, VOLUME_TYPE, Host

TEMPLATES = Path(__file__).parent / "templates"
HOOK = Path(__file__).parent / "hooks" / "qemu"
DATABASES = ("keystone", "placement", "glance", "neutron", "nova_api", "nova", "nova_cell0", "cinder")
USERS = ("placement", "glance", "neutron", "nova", "cinder")
"""The services' own users in Keystone."""
OF_HOST = {
    "keystone.conf": "keystone/keystone.conf",
    "placement.conf": "placement/placement.conf",
    "glance-api.conf": "glance/glance-api.conf",
    "nova-cpu.conf": "nova/nova-cpu.conf",
    "neutron.conf": "neutron/neutron.conf",
    "ml2_conf.ini": "neutron/ml2_conf.ini",
    "openvswitch_agent.ini": "neutron/openvswitch_agent.ini",
    "dhcp_agent.ini": "neutron/dhcp_agent.ini",
    "l3_agent.ini": "neutron/l3_agent.ini",
    "cinder.conf": "cinder/cinder.conf",
    "libvirtd.conf": "libvirt/libvirtd.conf",
    "virtlogd.conf": "libvirt/virtlogd.conf",
    "qemu.conf": "libvirt/qemu.conf",
    "hosts": "hosts",
}
"""Template → place in the host's folder of configurations."""
OF_HUB = ("my.cnf", "rabbitmq.conf")
SHIPPED = {
    "glance": ("glance-api-paste.ini",),
    "nova": ("api-paste.ini", "rootwrap.conf"),
    "neutron": ("api-paste.ini", "rootwrap.conf"),
    "cinder": ("api-paste.ini", "resource_filters.json"),
}
"""Files that a service's package brings along and that are taken as they are."""


def database(host: Host, name: str) -> str:
    """Spell the address of one of a cloud's databases."""
    where = f"mysql+pymysql://root@localhost/{host.database}_{name}"
    return f"{where}?unix_socket={HUB.mysql}&charset=utf8"


def credentials(host: Host, user: str) -> str:
    """Spell how a service proves to Keystone who it is."""
    pairs = {
        "auth_url": f"http://{host.address}:5000/v3",
        "auth_type": "password",
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "project_name": "service",
        "username": user,
        "password": PASSWORD,
        "region_name": host.region,
    }
    return "\n".join(f"{key} = {value}" for key, value in pairs.items())


def words(host: Host, accelerator: str) -> Mapping[str, str]:
    """Give what the templates' words stand for."""
    return {
        "name": host.name,
        "address": host.address,
        "wan_address": host.wan_address,
        "etc": str(host.etc),
        "log": str(host.log),
        "run": str(host.run),
        "state": str(host.path / "state"),
        "provider": PROVIDER,
        "volume_type": VOLUME_TYPE,
        "accelerator": accelerator,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, host.name)),
        "queue": f"rabbit://{host.database}:{PASSWORD}@{OPERATOR_ADDRESS}:5672/{host.database}",
        **{f"db_{name}": database(host, name) for name in DATABASES},
        **{f"auth_{user}": credentials(host, user) for user in USERS},
    }


def render(template: str, known: Mapping[str, str]) -> str:
    """Fill a template in. Raises KeyError for a word that is not known."""
    return Template((TEMPLATES / template).read_text()).substitute(known)


def of_host(host: Host, accelerator: str) -> Iterator[tuple[Path, str]]:
    """Render every file of one cloud. accelerator: kvm or qemu, as Nova names them."""
    known = words(host, accelerator)
    for template, place in OF_HOST.items():
        yield host.etc / place, render(template, known)
    # nova-compute refuses to start when it can see a database; all other services of Nova need it
    compute = render("nova-cpu.conf", known)
    sections = [("api_database", "nova_api"), ("database", "nova")]
    seen = "".join(f"[{name}]\nconnection = {database(host, base)}\nmax_pool_size = 5\n" for name, base in sections)
    yield host.etc / "nova" / "nova.conf", compute + seen
    yield host.etc / "libvirt" / "hooks" / HOOK.name, HOOK.read_text()
    for service, names in SHIPPED.items():
        for name in names:
            yield host.etc / service / name, (VENV / "etc" / service / name).read_text()


def of_hub() -> Iterator[tuple[Path, str]]:
    """Render the files of what both clouds share."""
    known = {"hub": str(HUB.path), "socket": str(HUB.mysql), "operator": OPERATOR_ADDRESS}
    for template in OF_HUB:
        yield HUB.path / template, render(template, known)
    yield HUB.path / "plugins", "[].\n"
    yield HUB.path / "definitions.json", json.dumps(definitions(), indent=1)


def definitions() -> Mapping[str, list[Mapping[str, str]]]:
    """RabbitMQ's users: each cloud sees its own virtual host only."""
    names = [host.database for host in HOSTS]
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": name, "password": PASSWORD, "tags": ""} for name in names],
        "vhosts": [{"name": name} for name in ("/", *names)],
        "permissions": [{"user": name, "vhost": name, **every} for name in names],
    }


def write(files: Iterator[tuple[Path, str]]) -> None:
    """Write what has changed."""
    for path, text in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
