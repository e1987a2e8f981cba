"""The drive that tells a guest who it is: an ISO 9660 config drive as OpenStack makes it."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from intercloud.clouds.run import run
from intercloud.errors import CloudError

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16 * _SECTOR
_DATES = slice(813, 881)
_NO_DATES = (b"0" * 16 + b"\0") * 4
"""Creation, modification, expiry and effect of a volume, 'not specified' (ECMA-119, 8.4.26-29)."""


def user_data(role: str, name: str, address: str, mtu: int, hosts: Mapping[str, str]) -> str:
    """Say what the guest is, as its init script reads it.

    role: 'web', 'app', 'db', or '' for a guest with the common services only. address: 'ip/prefix', '' for DHCP.
    hosts: name → IP address of everything that it shall reach by name.
    Raises CloudError for a value that holds a line end.
    """
    listed = ",".join(f"{host}={ip}" for host, ip in hosts.items())
    lines = {"ROLE": role, "NAME": name, "ADDRESS": address, "MTU": str(mtu), "HOSTS": listed}
    for key, value in lines.items():
        if "\n" in value:
            raise CloudError(f"guest {name!r}: {key} must be one line, not {value!r}")
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def config_drive(meta: Mapping[str, str], user_data: str, path: Path) -> None:
    """Write the drive; equal input gives equal bytes. Raises CloudError when genisoimage is missing or fails."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as work:
        latest = Path(work, "drive/openstack/latest")
        latest.mkdir(parents=True)
        (latest / "meta_data.json").write_text(json.dumps(dict(meta), sort_keys=True))
        (latest / "user_data").write_text(user_data)
        for entry in (*Path(work, "drive").rglob("*"), Path(work, "drive")):
            os.utime(entry, (0, 0))
        image = Path(work, "drive.iso")
        # Joliet carries the long names; Rock Ridge would add times of writing.
        words = ["env", "TZ=UTC", "genisoimage", "-quiet", "-no-pad", "-J", "-V", "config-2"]
        run([*words, "-o", str(image), str(Path(work, "drive"))])
        image.write_bytes(_without_dates(image.read_bytes()))
        image.rename(path)


def _without_dates(iso: bytes) -> bytes:
    """Blank the dates of writing in the volume descriptors (types 1 and 2), which end with one of type 255."""
    result = bytearray(iso)
    at = _FIRST_DESCRIPTOR
    while result[at] in (1, 2):
        result[at + _DATES.start : at + _DATES.stop] = _NO_DATES
        at += _SECTOR
    return bytes(result)
