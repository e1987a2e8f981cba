"""The drive that tells a guest who it is: an ISO 9660 config drive as OpenStack makes it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

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
    """
    listed = ",".join(f"{host}={ip}" for host, ip in hosts.items())
    lines = {"ROLE": role, "NAME": name, "ADDRESS": address, "MTU": str(mtu), "HOSTS": listed}
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
        _make_iso(Path(work, "drive"), image)
        image.write_bytes(_without_dates(image.read_bytes()))
        image.rename(path)


def _make_iso(folder: Path, image: Path) -> None:
    argv = ["genisoimage", "-quiet", "-no-pad", "-J", "-r", "-V", "config-2", "-o", str(image), str(folder)]
    try:
        subprocess.run(argv, env=os.environ | {"TZ": "UTC"}, capture_output=True, text=True, timeout=60, check=True)
    except FileNotFoundError:
        raise CloudError("config drive: genisoimage is not installed") from None
    except subprocess.SubprocessError as error:
        raise CloudError(f"config drive {image}: {getattr(error, 'stderr', None) or error}") from error


def _without_dates(iso: bytes) -> bytes:
    """Blank the dates of writing in the volume descriptors (types 1 and 2), which end with one of type 255."""
    result = bytearray(iso)
    at = _FIRST_DESCRIPTOR
    while result[at] in (1, 2):
        result[at + _DATES.start : at + _DATES.stop] = _NO_DATES
        at += _SECTOR
    return bytes(result)
