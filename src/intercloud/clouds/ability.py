"""What a cloud can do, as data: the plan chooses a strategy from the abilities of both clouds."""

from enum import StrEnum


class Ability(StrEnum):
    """One thing that a cloud can do for a migration."""

    COLD = "cold"
    """A stopped server's disks can be read and written."""
    WARM = "warm"
    """A running server's disks can be read as of one moment, and then what has changed since."""
    HYPERVISOR = "hypervisor"
    """The hypervisor's monitor can be reached, so a running server can be moved."""
    POSTCOPY = "postcopy"
    """Memory may follow after the switch (userfaultfd)."""
