"""What a user of both clouds has: clouds.yaml, as every OpenStack tool reads it, and Intercloud's configuration."""

import json
from pathlib import Path
from typing import Any

from intercloud.control.process import SOCKET_FILE
from testbed import network
from testbed.layout import CONTROL, HOSTS, LAB, OTHER_KIND, PASSWORD, ROOT, Host
from testbed.seed import PROJECT

FOLDER = ROOT / "user"


def entry(host: Host, project: str) -> dict[str, Any]:
    """An entry in clouds.yaml, for the user who is called like the project; 'admin' is the operator."""
    return {
        "auth": {
            "auth_url": f"http://{host.address}:5000/v3",
            "username": project,
            "password": PASSWORD,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": host.region,
    }


def hypervisors(host: Host) -> dict[str, Any]:
    """How its only computer's hypervisor is reached."""
    uri = f"qemu+tcp://{host.address}/system"
    beside = ("ip", "netns", "exec", host.namespace)
    return {"libvirt": uri, "address": host.wan_address, "local": host.address, "beside": beside}


def cloud(host: Host, *, operator: bool) -> dict[str, Any]:
    """A cloud's entry in the configuration."""
    border = network.site(host)
    return {
        "type": "openstack",
        "cloud": host.name,
        "operator": f"{host.name}-operator" if operator else None,
        "hypervisors": hypervisors(host) if operator else None,
        "border": {
            "ovsdb": border.ovsdb,
            "bridge": border.bridge,
            "datapath_id": border.datapath_id,
            "datapath_type": border.datapath_type,
            "controller": border.controller,
            "underlay": border.underlay,
            "fabrics": border.fabrics,
            "address": host.place.address,
            "beside": host.place.stand.beside,
        },
    }


def write(folder: Path = FOLDER, project: str = PROJECT, *, operator: bool = True) -> Path:
    """Write both files; returns the path of the configuration. operator: whether it has an operator's credentials."""
    folder.mkdir(parents=True, exist_ok=True)
    clouds = {host.name: entry(host, project) for host in HOSTS}
    clouds |= {f"{host.name}-operator": entry(host, "admin") for host in HOSTS}
    (folder / "clouds.yaml").write_text(json.dumps({"clouds": clouds}, indent=1))  # JSON is YAML
    configuration = {
        "clouds": {host.name: cloud(host, operator=operator) for host in HOSTS} | {OTHER_KIND: {"type": "lab"}},
        "lab": {
            "name": LAB.name,
            "root": str(LAB.root),
            "sites": {each.name: {"kind": "cloud" if each.cloud else "office"} for each in LAB.sites},
        },
        "sdn": {"control": str(CONTROL / SOCKET_FILE)},
        "migration": {"state": str(folder / "runs")},
        "probe": {"udp_per_second": 200},  # a thousand would take half a processor from both clouds
    }
    path = folder / "config.json"
    path.write_text(json.dumps(configuration, indent=1))
    return path
