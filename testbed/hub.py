"""MariaDB and RabbitMQ, in the namespace from which the clouds' APIs are reached."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence

from intercloud.clouds.lab import net
from intercloud.clouds.run import find_process, inside, kill, run, wait_until
from testbed import files
from testbed.layout import HOSTS, HUB, OPERATOR, OPERATOR_ADDRESS, Host

RABBIT = {
    "HOME": str(HUB.path / "rabbit"),
    "RABBITMQ_NODENAME": "rabbit@localhost",
    "RABBITMQ_MNESIA_BASE": str(HUB.path / "rabbit" / "mnesia"),
    "RABBITMQ_LOG_BASE": str(HUB.path),
    "RABBITMQ_CONFIG_FILE": str(HUB.path / "rabbitmq.conf"),
    "RABBITMQ_ENABLED_PLUGINS_FILE": str(HUB.path / "plugins"),
    "RABBITMQ_PID_FILE": str(HUB.path / "rabbit.pid"),
    "ERL_EPMD_ADDRESS": "127.0.0.1",
    # one scheduler that does not spin: the processors are needed elsewhere
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
}


def connect() -> None:
    """Make the operator's namespace, and a link from it to each cloud's computer; safe to repeat."""
    net.add_namespace(OPERATOR)
    there = net.links(OPERATOR)
    if "br-api" not in there:
        net.batch(OPERATOR, [("link", "add", "br-api", "type", "bridge")])
    for host in HOSTS:
        net.add_namespace(host.namespace)
        if host.name not in there:
            peer = ("peer", "name", "eth0", "netns", host.namespace)
            net.batch(OPERATOR, [("link", "add", host.name, "type", "veth", *peer)])
        net.batch(OPERATOR, [("link", "set", host.name, "master", "br-api", "up")])
        net.batch(
            host.namespace,
            [("link", "set", "eth0", "up"), ("addr", "replace", f"{host.address}/24", "dev", "eth0")],
        )
    net.batch(
        OPERATOR, [("addr", "replace", f"{OPERATOR_ADDRESS}/24", "dev", "br-api"), ("link", "set", "br-api", "up")]
    )


def up() -> None:
    """Start both servers and wait until they answer; those that run are left alone."""
    HUB.path.mkdir(parents=True, exist_ok=True)
    files.write(files.of_hub())
    data = HUB.path / "mysql"
    if not (data / "mysql").exists():
        shutil.rmtree(data, ignore_errors=True)
        install = ("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root")
        run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"], timeout=120)
    if not answers():
        start("mysql", ("mariadbd", f"--defaults-file={HUB.path / 'my.cnf'}"), {})
    if not listens():
        (HUB.path / "rabbit").mkdir(exist_ok=True)
        start("rabbit", ("/usr/lib/rabbitmq/bin/rabbitmq-server",), RABBIT)
    wait_until(answers, "MariaDB", 60, 0.1)
    wait_until(listens, "RabbitMQ", 90, 0.1)


def start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start a server in the operator's namespace; it outlives this process."""
    with (HUB.path / f"{name}.out").open("ab") as output:
        subprocess.Popen(
            inside(OPERATOR, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment},
        )


def answers() -> bool:
    """Whether MariaDB takes commands."""
    ping = ["mariadb-admin", "--no-defaults", "-S", str(HUB.mysql), "ping"]
    return subprocess.run(ping, capture_output=True, check=False, timeout=20).returncode == 0


def listens() -> bool:
    """Whether RabbitMQ takes connections."""
    return run(inside(OPERATOR, ["ss", "-Hltn", f"src {OPERATOR_ADDRESS}:5672"])).strip() != ""


def wait_for_consumer(host: Host, queue: str, seconds: int = 90) -> None:
    """Wait until one of a cloud's services takes messages from a queue. Raises CloudError when none does in time."""
    name = f'rabbit_misc:r(<<"{host.database}">>, queue, <<"{queue}">>)'
    found = f"rabbit_amqqueue:with({name}, fun(Queue) -> rabbit_amqqueue:info(Queue, [consumers]) end)"
    # the server itself looks again and again: a command to it costs a second of a processor that others wait for
    again = f"case {found} of [{{consumers, Some}}] when Some > 0 -> ok; _ -> timer:sleep(200), Wait(Left - 1) end"
    wait = f"(fun Wait(0) -> error(timeout); Wait(Left) -> {again} end)({5 * seconds})."
    words = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", RABBIT["RABBITMQ_NODENAME"], "-q", "eval", wait]
    run(inside(OPERATOR, ["env", *(f"{k}={v}" for k, v in RABBIT.items()), *words]), timeout=seconds + 30)


def sql(statement: str) -> str:
    """Let MariaDB execute a statement."""
    return run(["mariadb", "--no-defaults", "-uroot", "-N", "-S", str(HUB.mysql), "-e", statement], timeout=120)


def down() -> None:
    """End both servers: MariaDB in order, so that what is prepared can be used again."""
    mysql = find_process(HUB.path / "mysql.pid", str(HUB.path))
    if mysql is not None:
        kill([mysql], 30, signal.SIGTERM)
    kill(net.processes(OPERATOR), 10)
