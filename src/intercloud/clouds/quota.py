"""Whether a quota holds one more server. Pure."""

from intercloud.errors import QuotaReached
from intercloud.model.server import Server
from intercloud.model.site import Quota
from intercloud.units import show_bytes


def admit(cloud: str, server: Server, limit: Quota, used: Quota) -> None:
    """Raise QuotaReached with all that is short."""
    short = [
        f"{what} {show(have)} of {show(most)} used, {show(more)} more wanted"
        for what, have, most, more, show in (
            ("vCPUs", used.vcpus, limit.vcpus, server.vcpus, str),
            ("memory", used.memory, limit.memory, server.memory, show_bytes),
            ("disk", used.disk, limit.disk, sum(disk.size for disk in server.disks), show_bytes),
        )
        if have + more > most
    ]
    if short:
        raise QuotaReached(f"{cloud}: {server.name} does not fit: {'; '.join(short)}")
