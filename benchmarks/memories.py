"""What the memories of a fleet have in common: the least that must cross when equal pages cross once."""

import tempfile
from pathlib import Path

from blake3 import blake3

from benchmarks.contenders.intercloud import Fleet
from intercloud.clouds.lab import qmp

PAGE = 4096
ZEROS = bytes(PAGE)


def distinct_bytes(fleet: Fleet) -> int:
    """Bytes of the pages that are neither zero nor seen before, over all servers, which are paused."""
    seen: set[bytes] = set()
    for path, size in fleet.monitors():
        with tempfile.NamedTemporaryFile() as file:
            with qmp.session(path, timeout=30) as execute:
                execute("pmemsave", val=0, size=size, filename=file.name)
            memory = memoryview(Path(file.name).read_bytes())
        pages = (memory[at : at + PAGE] for at in range(0, len(memory), PAGE))
        seen |= {blake3(page).digest(16) for page in pages if page != ZEROS}
    return len(seen) * PAGE
