"""A cloud's networks, security groups and ports: read, and made equal to what is wanted. All of it safe to repeat."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any
from zlib import crc32

from intercloud.clouds.openstack.aside import ASIDE, is_away, own, tags_away, tags_back
from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.names import KEY, OURS
from intercloud.errors import AddressTaken, CloudError, NotFound, QuotaReached
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Network, Nic, Rule, SecurityGroup, Server

ROUTERS = ("network:router_interface", "network:ha_router_replicated_interface")
"""The owners of a router's port: a plain one's, and that of several in one's place."""


def derived_key(name: str) -> int:
    """The key between sites of a network that nobody has given one: the same wherever it has this name."""
    return 1 + crc32(name.encode()) % ((1 << 24) - 1)


def key(network: Any) -> int:
    """The key that a network has between sites."""
    noted = [tag.removeprefix(KEY) for tag in network.tags or () if tag.startswith(KEY)]
    return int(noted[0]) if noted else derived_key(network.name)


def free_ranges(cidr: str, taken: Iterable[str]) -> list[dict[str, str]]:
    """Addresses of a subnet that the cloud itself, its DHCP server first, may take without taking a server's."""
    net = ip_network(cidr)
    first, last = int(net.network_address) + 1, int(net.broadcast_address) - 1
    found, start = [], first
    numbers = {int(ip_address(address)) for address in taken if address and ip_address(address) in net}
    for stop in [*sorted(numbers), last + 1]:
        if start < stop:
            found.append({"start": str(ip_address(start)), "end": str(ip_address(stop - 1))})
        start = stop + 1
    return found


def read_network(network: Any, subnet: Any | None) -> Network:
    """A network as the model has it."""
    if subnet is None:
        return Network(network.name, key(network), "", network.mtu, None, dhcp=False)
    return Network(network.name, key(network), subnet.cidr, network.mtu, subnet.gateway_ip, dhcp=subnet.is_dhcp_enabled)


def read_rule(rule: Any, names: Mapping[str, str]) -> Rule:
    """A security group's rule as the model has it. names: id of a group → its name."""
    return Rule(
        rule.direction,
        rule.ether_type,
        rule.protocol,
        (rule.port_range_min, rule.port_range_max),
        rule.remote_ip_prefix,
        names.get(rule.remote_group_id) if rule.remote_group_id else None,
    )


def show_rule(rule: Rule) -> str:
    """Spell a rule for people: "ingress IPv4 tcp 22-22 from 10.0.0.0/8"."""
    first, last = rule.ports
    ports = "" if first is None and last is None else f"{first}-{last}"
    who = rule.remote or (f"group {rule.group}" if rule.group else "any")
    way = "from" if rule.direction == "ingress" else "to"
    words = (rule.direction, rule.ether_type, rule.protocol, ports, way, who)
    return " ".join(word for word in words if word)


def read_nic(port: Any, network: str, groups: Mapping[str, str]) -> Nic:
    """A port as the model has it. groups: id of a security group → its name."""
    has = own(port)
    pairs = (f"{pair['ip_address']} {pair.get('mac_address', '')}".strip() for pair in has["allowed_address_pairs"])
    mine = f" {port.mac_address}"
    addresses = [fixed["ip_address"] for fixed in port.fixed_ips or ()]
    return Nic(
        network,
        port.mac_address,
        addresses[0] if addresses else "",
        tuple(sorted(groups[each] for each in has["security_group_ids"] if each in groups)),
        tuple(sorted(pair.removesuffix(mine) for pair in pairs)),
        has["is_port_security_enabled"],
    )


def port_losses(server: str, ports: Iterable[Any], floating: Mapping[str, str]) -> Iterator[Finding]:
    """What of a server's ports stays behind. floating: id of a port → its floating IP address."""
    for port in ports:
        if port.id in floating:
            text = f"its floating IP {floating[port.id]} stays with this cloud, and what comes for it crosses the WAN"
            cure = "point clients to another address at the target, then delete the port that holds this one"
            yield Finding(server, text, cure, blocking=False)
        card, addresses = f"its card {port.mac_address}", [fixed["ip_address"] for fixed in port.fixed_ips or ()]
        if not addresses or ip_address(addresses[0]).version != 4:
            text = (
                f"{card} has {addresses[0] if addresses else 'no address'}, and an IPv4 address is what it is known by"
            )
            yield Finding(server, text, "give it one first, or take the card away")
        if len(addresses) > 1:
            yield Finding(server, f"{card} has more addresses: {', '.join(addresses[1:])}", "take them away")


@dataclass(frozen=True)
class Networks:
    """The network service of one cloud."""

    cloud: str
    door: Door

    def named(self, name: str) -> Any | None:
        """Find a network by its name; the project's own before others'."""
        found = list(self.door.network.networks(name=name))
        found.sort(key=lambda each: each.project_id != self.door.project)
        return found[0] if found else None

    def subnet(self, network: Any) -> Any | None:
        """Its IPv4 subnet; with several, the one with the lowest addresses."""
        found = self.door.network.subnets(network_id=network.id, ip_version=4)
        return min(found, key=lambda each: str(each.cidr), default=None)

    def read(self, numbers: Iterable[str]) -> dict[str, Network]:
        """Networks by their ids."""
        found = {number: self.door.network.get_network(number) for number in sorted(set(numbers))}
        return {number: read_network(network, self.subnet(network)) for number, network in found.items()}

    @cached_property
    def routers(self) -> tuple[Nic, ...]:
        """Cards of the project's routers at the networks' gateways; asked for once."""
        found = []
        for port in (port for owner in ROUTERS for port in self.door.network.ports(device_owner=owner)):
            network = self.door.network.get_network(port.network_id)
            subnet = self.subnet(network)
            if subnet is not None and subnet.gateway_ip in (fixed["ip_address"] for fixed in port.fixed_ips):
                found.append(Nic(network.name, port.mac_address, subnet.gateway_ip))
        return tuple(found)

    def groups(self) -> dict[str, Any]:
        """The project's security groups, by name."""
        return {each.name: each for each in self.door.network.security_groups(project_id=self.door.project)}

    def read_groups(self, wanted: Iterable[str]) -> tuple[SecurityGroup, ...]:
        """Security groups of these names, and those that their rules name, in the order of names."""
        there = self.groups()
        names = {each.id: name for name, each in there.items()}
        rules: dict[str, set[Rule]] = {}
        for rule in self.door.network.security_group_rules(project_id=self.door.project):
            rules.setdefault(names.get(rule.security_group_id, ""), set()).add(read_rule(rule, names))
        found: dict[str, SecurityGroup] = {}
        todo = set(wanted)
        while todo:
            name = todo.pop()
            found[name] = SecurityGroup(name, frozenset(rules.get(name, ())))
            todo |= {rule.group for rule in found[name].rules if rule.group} - found.keys()
        return tuple(found[name] for name in sorted(found))

    def floating(self) -> dict[str, str]:
        """The project's floating IP addresses in use: id of the port → address."""
        return {each.port_id: each.floating_ip_address for each in self._floating()}

    def _floating(self) -> list[Any]:
        try:
            return [each for each in self.door.network.ips(project_id=self.door.project) if each.port_id]
        except NotFound:  # a cloud without routers knows no such thing
            return []

    def ports(self, server: Any) -> list[Any]:
        """A server's ports, in the order in which its cards are."""
        found = list(self.door.network.ports(device_id=server.id))
        return sorted(found, key=lambda each: (str(each.created_at), each.mac_address))

    def taken(self, server: Server) -> Iterator[str]:
        """One line for each of its addresses that a port of another device here has."""
        for nic in server.nics:
            network = self.named(nic.network)
            if network is None:
                continue
            for port in self.door.network.ports(network_id=network.id):
                if port.name == port_name(server.name, nic):
                    continue
                owner = port.name or port.device_owner or port.id
                if port.mac_address == nic.mac:
                    yield f"the MAC address {nic.mac} is taken by port {owner}"
                if nic.ip in (fixed["ip_address"] for fixed in port.fixed_ips or ()):
                    yield f"the IP address {nic.ip} in {nic.network} is taken by port {owner}"

    # Made equal to what is wanted

    def prepare(self, cluster: Cluster) -> None:
        """Let networks, subnets and security groups be there. Raises CloudError that says what an operator must do."""
        if obstacle := next((each for each in self.obstacles(cluster) if each.blocking), None):
            raise CloudError(obstacle.line)
        for network in cluster.networks:
            self._prepare_network(network, [nic.ip for server in cluster.servers for nic in server.nics])
        there = self.groups()
        for group in cluster.groups:
            if group.name not in there:
                made = self.door.network.create_security_group(name=group.name, description=OURS)
                for rule in self.door.network.security_group_rules(security_group_id=made.id):
                    self.door.network.delete_security_group_rule(rule.id)  # what a new one has by itself
                there[group.name] = made
        have = {group.name: group.rules for group in self.read_groups(group.name for group in cluster.groups)}
        for group in cluster.groups:
            for rule in sorted(group.rules - have[group.name], key=str):
                self._add_rule(there, group.name, rule)

    def obstacles(self, cluster: Cluster) -> Iterator[Finding]:
        """Networks and security groups that are not as they are wanted, and that are not ours to change."""
        for network in cluster.networks:
            yield from self._network_obstacles(network)
        strange = {name for name, group in self.groups().items() if group.description != OURS}
        have = {group.name: group.rules for group in self.read_groups(strange & {each.name for each in cluster.groups})}
        for group in cluster.groups:
            mine = have.get(group.name, group.rules)
            parts = [("lacks", group.rules - mine), ("lets through besides", mine - group.rules)]
            said = [f"{verb} {', '.join(sorted(map(show_rule, rules)))}" for verb, rules in parts if rules]
            if said:
                text = f"its security group {group.name} {' and '.join(said)}"
                yield Finding(self.cloud, text, "make the rules of both clouds equal, or rename one of the groups")

    def _network_obstacles(self, wanted: Network) -> Iterator[Finding]:
        name, network = wanted.name, self.named(wanted.name)
        if network is None:
            cure = "let its operator make it, owned by this project, with its end at the border bridge"
            yield Finding(self.cloud, f"has no network {name}", cure)
            return
        if network.mtu < wanted.mtu:
            text = f"its network {name} has an MTU of {network.mtu} bytes, {wanted.mtu} are wanted"
            yield Finding(self.cloud, text, "let its operator raise it, or lower that of the source")
        subnet = self.subnet(network)
        if subnet is not None and subnet.cidr != wanted.cidr:
            text = f"its network {name} has the subnet {subnet.cidr}, {wanted.cidr} is wanted"
            yield Finding(self.cloud, text, "delete that subnet if it is not used, or rename one of the networks")

    def _prepare_network(self, wanted: Network, taken: Iterable[str]) -> None:
        network = self.named(wanted.name)
        assert network is not None
        if key(network) != wanted.key:
            tags = [tag for tag in network.tags or () if not tag.startswith(KEY)]
            self.door.network.set_tags(network, [*tags, f"{KEY}{wanted.key}"])
        subnet = self.subnet(network)
        if subnet is None and wanted.cidr:
            self.door.network.create_subnet(
                network_id=network.id, ip_version=4, cidr=wanted.cidr, gateway_ip=wanted.gateway,
                is_dhcp_enabled=wanted.dhcp, name=wanted.name, description=OURS,
                allocation_pools=free_ranges(wanted.cidr, [*taken, wanted.gateway or ""]),
            )  # fmt: skip

    def _add_rule(self, groups: Mapping[str, Any], name: str, rule: Rule) -> None:
        self.door.network.create_security_group_rule(
            security_group_id=groups[name].id,
            direction=rule.direction,
            ether_type=rule.ether_type,
            protocol=rule.protocol,
            port_range_min=rule.ports[0],
            port_range_max=rule.ports[1],
            remote_ip_prefix=rule.remote,
            remote_group_id=groups[rule.group].id if rule.group else None,
        )

    def make_port(self, server: str, nic: Nic) -> Any:
        """Find the port of a card, or make it. Raises AddressTaken, QuotaReached, CloudError."""
        network = self.named(nic.network)
        if network is None:
            raise NotFound(f"{self.cloud} has no network {nic.network}")
        name = port_name(server, nic)
        for port in self.door.network.ports(network_id=network.id, mac_address=nic.mac):
            if port.name == name:
                return port
            raise AddressTaken(f"{self.cloud}: the MAC address {nic.mac} is taken by port {port.name or port.id}")
        groups = self.groups()
        pairs = [dict(zip(("ip_address", "mac_address"), pair.split(), strict=False)) for pair in nic.allowed]
        options: dict[str, Any] = {"allowed_address_pairs": pairs} if pairs else {}
        if not nic.guarded:
            options["is_port_security_enabled"] = False
        try:
            return self.door.network.create_port(
                network_id=network.id,
                name=name,
                mac_address=nic.mac,
                fixed_ips=[{"ip_address": nic.ip}],
                security_group_ids=[groups[group].id for group in nic.groups],
                **options,
            )
        except (AddressTaken, QuotaReached):
            raise
        except CloudError as error:
            raise CloudError(f"{error} (only who owns network {nic.network} may choose addresses in it)") from error

    def claim(self, server: str, ports: Iterable[Any]) -> None:
        """Call ports as if we had made them."""
        for port in ports:
            name = f"{OURS}{server}:{port.mac_address}"
            if port.name != name:
                self.door.network.update_port(port.id, name=name)

    def step_aside(self, ports: Iterable[Any]) -> None:
        """Let nothing be delivered to ports whose server runs elsewhere."""
        for port in ports:
            if port.is_port_security_enabled is None:
                continue  # this cloud knows no other ports
            self.door.network.set_tags(port, tags_away(port))
            self.door.network.update_port(port.id, **ASIDE)

    def step_back(self, ports: Iterable[Any]) -> None:
        """Make ports that have stepped aside again what they were."""
        for port in filter(is_away, ports):
            self.door.network.update_port(port.id, **own(port))
            self.door.network.set_tags(port, tags_back(port))

    def with_floating(self, ports: Iterable[Any]) -> dict[str, tuple[Any, Any]]:
        """Those of these ports that have a floating IP: id of the port → the port and its floating IP."""
        floating = {each.port_id: each for each in self._floating()}
        return {port.id: (port, floating[port.id]) for port in ports if port.id in floating}

    def leave(self, server: str, ports: Iterable[tuple[Any, Any]]) -> None:
        """Keep ports with their floating IPs when their server is gone, so that a router goes on to pass packets on.

        One that Nova had made goes with the server: it is made again, and its floating IP lacks it for that moment.
        """
        for port, floating in ports:
            if self.door.network.find_port(port.id) is not None:
                self.step_back([port])
                continue
            made = self.door.network.create_port(
                network_id=port.network_id, name=f"{OURS}{server}:{port.mac_address}", mac_address=port.mac_address,
                fixed_ips=[{"ip_address": fixed["ip_address"]} for fixed in port.fixed_ips],
                **own(port),
            )  # fmt: skip
            self.door.network.update_ip(floating.id, port_id=made.id)

    def delete_ports(self, ports: Iterable[Any]) -> None:
        """Delete ports; no error for those that are gone."""
        for port in ports:
            self.door.network.delete_port(port.id, ignore_missing=True)

    def tidy(self) -> None:
        """Delete subnets and security groups that moves have made here and that nothing uses."""
        made = self.door.network.subnets(project_id=self.door.project, description=OURS)
        for subnet in [each for each in made if each.description == OURS]:
            with suppress(CloudError):  # in use
                self.door.network.delete_subnet(subnet.id)
        ports = self.door.network.ports(project_id=self.door.project)
        wanted = {number for port in ports for number in own(port)["security_group_ids"]}
        for group in [each for each in self.groups().values() if each.description == OURS and each.id not in wanted]:
            with suppress(CloudError):  # in use
                self.door.network.delete_security_group(group.id)

    def of_server(self, server: str) -> list[Any]:
        """Ports that we have made for a server."""
        found = self.door.network.ports(project_id=self.door.project)
        return [port for port in found if port.name.startswith(f"{OURS}{server}:")]


def port_name(server: str, nic: Nic) -> str:
    """The name of a port that we make: it tells whose it is before the server has it."""
    return f"{OURS}{server}:{nic.mac}"
