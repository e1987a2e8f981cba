"""One command to a guest's QMP socket: the little that the lab itself asks of QEMU."""

import json
import socket
from pathlib import Path
from typing import cast

from intercloud.errors import MonitorError


def ask(path: Path, command: str, timeout: float = 5) -> dict[str, object]:
    """Connect, run one command and return its answer. Raises MonitorError when QEMU is gone, busy or says no."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(timeout)
            channel.connect(str(path))
            with channel.makefile("rw", encoding="utf-8") as lines:
                lines.readline()
                for word in ("qmp_capabilities", command):
                    lines.write(json.dumps({"execute": word}) + "\n")
                    lines.flush()
                    answer = next(answer for line in lines if "event" not in (answer := json.loads(line)))
                    if "error" in answer:
                        raise MonitorError(f"{path}: {command}: {answer['error']['desc']}")
    except (OSError, StopIteration, ValueError) as error:
        raise MonitorError(f"{path}: {command}: {error or 'QEMU closed the connection'}") from error
    return cast("dict[str, object]", answer["return"])
