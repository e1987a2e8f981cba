"""Which servers make a cluster, where they do not say so themselves. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Selection:
    """The servers of a project that have all of this. Nothing of it: no server.

    tag: one of their tags; metadata: among theirs; names: patterns as of file names, of which one fits.
    health: URL that answers 200 when the application works.
    """

    tag: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    health: str | None = None

    def holds(self, server: Any) -> bool:
        """Whether a server is one of them."""
        if not (self.tag or self.metadata or self.names):
            return False
        return (
            (self.tag is None or self.tag in (server.tags or ()))
            and self.metadata.items() <= server.metadata.items()
            and (not self.names or any(fnmatchcase(server.name, pattern) for pattern in self.names))
        )
