"""What is said of names and addresses that a cloud has already given away."""

from collections.abc import Iterable

from intercloud.model.finding import Finding


def taken(cloud: str, lines: Iterable[str]) -> tuple[Finding, ...]:
    """Make a finding of each line."""
    cure = "delete that server or give it another, or choose another target"
    return tuple(Finding(cloud, line, cure) for line in lines)
