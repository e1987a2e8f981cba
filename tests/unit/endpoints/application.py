"""A small application on loopback that the prober is tried on: real sockets, and it can be made to misbehave."""

import json
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any, ClassVar, Self


class Application:
    """Echoes on 127.0.0.1 and .2 and .3, HTTP on 127.0.0.1.

    silent_until: nothing is answered before that moment. mute: servers whose UDP echo never answers.
    epoch: raised by one, it makes the server close every TCP stream. forget: every second record is dropped.
    """

    targets: ClassVar = {"web": "127.0.0.1", "app": "127.0.0.2", "db": "127.0.0.3"}

    def __init__(self) -> None:
        self.silent_until = 0.0
        self.forget = False
        self.epoch = 0
        self.mute: frozenset[str] = frozenset()
        self.records: list[str] = []
        self.closing = Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.echo_port = _free_port()
        self.tcp = [_EchoServer((ip, self.echo_port), _echo(self)) for ip in self.targets.values()]
        self.udp = [_bound(ip, self.echo_port) for ip in self.targets.values()]
        self.threads = [Thread(target=server.serve_forever, args=(0.05,)) for server in (self.http, *self.tcp)]
        self.threads += [Thread(target=self._echo_udp, args=pair) for pair in zip(self.targets, self.udp, strict=True)]
        for thread in self.threads:
            thread.start()

    @property
    def http_port(self) -> int:
        return self.http.server_address[1]

    def wait(self) -> None:
        time.sleep(max(0.0, self.silent_until - time.monotonic()))

    def _echo_udp(self, name: str, sock: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                data, peer = sock.recvfrom(2048)
            except TimeoutError:
                continue
            self.wait()
            if name not in self.mute:
                sock.sendto(data, peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for server in (self.http, *self.tcp):
            server.shutdown()
            server.server_close()
        for thread in self.threads:
            thread.join()
        for sock in self.udp:
            sock.close()


class _EchoServer(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _echo(application: Application) -> type[BaseRequestHandler]:
    class Echo(BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(0.1)
            # like every server that answers at once: Nagle's algorithm holds an answer until the last one's ACK,
            # which comes with the client's next record
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            epoch = application.epoch
            while not application.closing.is_set():
                try:
                    data = self.request.recv(4096)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    return
                if not data or epoch != application.epoch:
                    return
                application.wait()
                self.request.sendall(data)

    return Echo


def _handler(application: Application) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            application.wait()
            dropped = application.forget and len(application.records) % 2 == 0
            application.records.append("dropped" if dropped else text)
            self.answer(json.dumps({"record": len(application.records)}))

        def do_GET(self) -> None:
            answers = {
                "/records": "\n".join(application.records),
                "/state": json.dumps({"boot_id": "b1", "memory_counter": 7}),
                "/peers": json.dumps({"app": True, "db": False}),
                "/health": "ok",
            }
            self.answer(answers[self.path])

        def answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _bound(ip: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, port))
    sock.settimeout(0.1)
    return sock


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
