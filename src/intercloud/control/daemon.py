"""The controller's process: `python -m intercloud.control.daemon --state DIR [--listen unix:/path|tcp:host:port]`.

In DIR it keeps registry.json, controller.log, controller.pid (locked as long as it lives) and control.sock, where
`client` asks. --detach returns when it is ready to be asked, or fails with one line.
"""

import argparse
import fcntl
import logging
import os
import signal
import socketserver
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from intercloud.control.controller import Controller
from intercloud.control.messages import (
    Announce,
    Ask,
    Cutover,
    Drop,
    Move,
    Plug,
    Prepare,
    Put,
    Request,
    StatusBySite,
    Unplug,
    adapter,
    request_adapter,
)
from intercloud.control.process import LOG_FILE, PID_FILE, SOCKET_FILE
from intercloud.control.registry import Registry
from intercloud.control.store import Store
from intercloud.errors import ControlError, IntercloudError

log = logging.getLogger(__name__)

_READY = "ready"

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep Python's lock: a cutover must not wait for a loop that reads flows (default 5 ms)."""

_PRIORITY = -10
"""As Open vSwitch's own daemons: a cutover must not wait for guests that use all processors."""


class _Connection(socketserver.StreamRequestHandler):
    """One client; its requests are answered one after the other."""

    server: "ControlServer"

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client is gone
            for line in self.rfile:
                self.wfile.write(self.server.answer(line) + b"\n")


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Answers requests on the control socket, each client in its own thread."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, path: Path, controller: Controller) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Connection)
        self._controller = controller

    def answer(self, line: bytes) -> bytes:
        """Do one request; the answer is one line of JSON."""
        try:
            return b'{"result": %s}' % self._do(request_adapter().validate_json(line))
        except ValidationError as error:
            return _failure(f"not a request: {error.errors()[0]['msg']}")
        except IntercloudError as error:
            return _failure(str(error))
        except Exception as error:
            log.exception("request failed: %s", line[:200])
            return _failure(f"the controller failed: {error!r}; see its log")

    def _do(self, request: Request) -> bytes:
        match request:
            case Put():
                self._controller.put(request)
            case Drop():
                self._controller.drop(request)
            case Plug():
                self._controller.plug(request)
            case Unplug():
                self._controller.unplug(request)
            case Move():
                return adapter(Cutover).dump_json(self._controller.move(request))
            case Prepare():
                self._controller.prepare(request)
            case Announce():
                self._controller.announce()
            case Ask("registry"):
                return adapter(Registry).dump_json(self._controller.registry)
            case Ask():
                return adapter(StatusBySite).dump_json(self._controller.status())
        return b"null"


def _failure(text: str) -> bytes:
    return b'{"error": %s}' % adapter(str).dump_json(text.replace("\n", " "))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="intercloud.control.daemon", description="The controller of the switches.")
    parser.add_argument("--state", type=Path, required=True, help="directory for the registry, socket, pid and log")
    parser.add_argument("--listen", help="where switches connect (default: unix:DIR/openflow.sock)")
    parser.add_argument("--detach", action="store_true", help="go to the background when ready")
    options = parser.parse_args(arguments)
    state: Path = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    ready = _detach(state) if options.detach else None
    try:
        with _locked(state):
            _serve(state, options.listen or f"unix:{state}/openflow.sock", ready)
    except (IntercloudError, OSError) as error:
        _report(ready, f"controller: {error}")
        return 1
    return 0


def _serve(state: Path, listen: str, ready: int | None) -> None:
    logging.basicConfig(
        filename=state / LOG_FILE, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    request_adapter()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    controller = Controller(Store(state), listen)
    with ControlServer(state / SOCKET_FILE, controller) as server:
        threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
        log.info("ready, switches connect to %s", listen)
        _report(ready, _READY)
        stop.wait()
        log.info("stopping")
        server.shutdown()
    controller.close()
    (state / SOCKET_FILE).unlink(missing_ok=True)


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Hold the pid file while this process lives: one controller for each directory."""
    with (state / PID_FILE).open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ControlError(f"another controller runs in {state}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _detach(state: Path) -> int:
    """Go on in a child; the parent ends when the child reports. Returns where the child reports."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as report:
            text = report.read() or f"the controller ended at once; see {state / LOG_FILE}"
        if text != _READY:
            sys.stderr.write(text + "\n")
        os._exit(text != _READY)
    os.close(reader)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(state / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    return writer


def _report(ready: int | None, text: str) -> None:
    if ready is not None:
        with suppress(BrokenPipeError):  # who started us was killed; whoever comes next finds us at work
            os.write(ready, text.encode())
        os.close(ready)
    elif text != _READY:
        sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
