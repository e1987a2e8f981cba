"""Every error that Intercloud raises on purpose.

    IntercloudError
    ├── ConfigError            the configuration file has mistakes (all of them are listed)
    ├── NotFound               a cloud, cluster, server, image or run of that name does not exist
    ├── Refused                a check that ran before the first change said no
    ├── CloudError             a cloud could not do what was asked
    │   ├── QuotaReached       retry useless
    │   ├── AddressTaken       a MAC or IP address already lives there
    │   ├── StoreFull          no room for an image or a disk
    │   └── CloudUnreachable   retry may help
    ├── ControlError           a switch, the controller or a tunnel
    ├── TransferError          disks or memory could not be moved
    │   ├── MonitorError       a hypervisor's monitor refused a command or went away
    │   └── NotConverging      the guest writes memory faster than the link carries it
    ├── RunsUnavailable        the database of runs cannot be read or written; nothing was begun
    ├── LeaseLost              a run may have been taken over; its process has stopped, the servers are as it left them
    ├── VerifyError            the moved cluster is not what it was; the source is kept
    └── Interrupted            the user asked to stop

Whoever raises says whether trying again can help: `retry`. Exit codes and HTTP statuses are the business of
`cli` and `api` alone.
"""

from collections.abc import Sequence


class IntercloudError(Exception):
    """Base of all. The text is one line that says what, where and what to do."""

    retry = False


class ConfigError(IntercloudError):
    """The configuration has mistakes; `problems` holds one line each: path in the file, what was expected."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class NotFound(IntercloudError):
    """No cloud, cluster, server, image or run of that name."""


class Refused(IntercloudError):
    """A check before the first change said no; nothing was changed. `findings` holds one line each."""

    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(self.findings))


class CloudError(IntercloudError):
    """A cloud could not do what was asked."""


class QuotaReached(CloudError):
    """The cloud's quota does not hold what was asked."""


class AddressTaken(CloudError):
    """The MAC or IP address already lives in that cloud."""


class StoreFull(CloudError):
    """The cloud has no room for the image or disk."""


class CloudUnreachable(CloudError):
    """The cloud, or the path between two clouds, does not answer."""

    retry = True


class ControlError(IntercloudError):
    """A switch, the controller or a tunnel did not do what was asked."""


class TransferError(IntercloudError):
    """Disks or memory could not be moved."""


class MonitorError(TransferError):
    """A hypervisor's monitor refused a command or went away."""


class NotConverging(TransferError):
    """The guest writes memory faster than the link carries it, and the plan allows nothing that would end that."""


class RunsUnavailable(IntercloudError):
    """The database of runs cannot be read or written; nothing was begun."""


class LeaseLost(IntercloudError):
    """Another process has taken the run over, or may have. This one has stopped; the servers are as it left them."""


class VerifyError(IntercloudError):
    """The moved cluster does not answer as before, or its data differ. It runs at the target; the source is kept."""


class Interrupted(IntercloudError):
    """The user asked to stop; everything was rolled back."""
