"""Start and stop the probe process: what a migration holds while it runs."""

import logging
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Self

from intercloud.endpoints.result import CONFIG, RESULT, ProbeConfig, ProbeResult
from intercloud.errors import CloudUnreachable

log = logging.getLogger(__name__)

STARTUP = 20.0
ANALYSIS = 150.0
FAREWELL = 2.0


class Probe:
    """A running probe process. `stop`, `close` or leaving the context ends it; no process stays behind."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str], config: ProbeConfig) -> None:
        self._process = process
        self._errors = errors
        self._config = config
        self.pid = process.pid

    @classmethod
    def start(cls, prefix: Sequence[str], config: ProbeConfig) -> Self:
        """Start probing behind `prefix`, for example ('ip', 'netns', 'exec', 'office'), and wait until it is ready.

        Raises CloudUnreachable as `wait_ready` does; nothing runs then.
        """
        with ExitStack() as undo:
            probe = cls.launch(prefix, config)
            undo.callback(probe.close)
            probe.wait_ready()
            undo.pop_all()
        return probe

    @classmethod
    def launch(cls, prefix: Sequence[str], config: ProbeConfig) -> Self:
        """The same without waiting: it begins to probe while other things are done."""
        text = CONFIG.dump_json(config).decode()
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process that writes it
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "intercloud.endpoints.probe", "--config", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for the migration, which tells the probe when to stop
        )
        return cls(process, errors, config)

    def wait_ready(self) -> None:
        """Return when every target has answered. Raises CloudUnreachable, naming those that do not: it ends."""
        assert self._process.stdout
        timeout = self._config.ready_within + STARTUP
        answered, _, _ = select.select([self._process.stdout], [], [], timeout)
        if not answered or self._process.stdout.readline() != "ready\n":
            raise self._failure("did not start")
        log.info("probing %s", ", ".join(f"{name} {ip}" for name, ip in self._config.targets.items()))

    def stop(self) -> ProbeResult:
        """Stop probing and tell what was seen; takes some seconds. Raises CloudUnreachable when the probe has died."""
        try:
            output, _ = self._process.communicate("stop\n", timeout=ANALYSIS)
            if self._process.returncode:
                raise self._failure("died")
            return RESULT.validate_json(output)
        except subprocess.TimeoutExpired:
            raise self._failure("did not stop") from None
        finally:
            self.close()

    def close(self) -> None:
        """End the process without asking for a result. Safe to repeat."""
        self._end()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe:
                pipe.close()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(FAREWELL)

    def _failure(self, what: str) -> CloudUnreachable:
        self._end()
        self._errors.seek(0)
        last = self._errors.read().strip().rpartition("\n")[2]
        return CloudUnreachable(f"the probe of the application {what}: {last or 'no answer from its process'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
