"""The servers of the benchmarks: what is probed, and what extsync is compared with; all on loopback.

Their programs come from where those of the tests do. CPU is a process's own clock, of all its threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.assets import Buildable, Unavailable
from tests.cluster.processes import free_ports
from tests.servers import programs
from tests.servers.programs import Programs

START_SECONDS = 60.0

NGINX = """\
daemon off;
master_process off;
pid "{directory}/nginx.pid";
error_log stderr crit;
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path "{directory}/body";
    proxy_temp_path "{directory}/proxy";
    fastcgi_temp_path "{directory}/fastcgi";
    uwsgi_temp_path "{directory}/uwsgi";
    scgi_temp_path "{directory}/scgi";
    keepalive_timeout 600;
    keepalive_requests 1000000;
    server {{
        listen {http} backlog=4096;
        {tls}
        allow 127.0.0.0/8;
        deny all;
        default_type text/plain;
        location = /healthz {{ return 200 "ok"; }}
        location = /count {{ stub_status; }}
    }}
}}
"""
NGINX_TLS = """\
listen {port} ssl backlog=4096;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
"""

HAPROXY = """\
global
    nbthread 1
    maxconn 100
    stats socket "{directory}/haproxy.sock"
defaults
    mode {mode}
    timeout connect 10s
    timeout client 10s
    timeout server 10s
    timeout check 10s
backend targets
{check}
{servers}
"""
HAPROXY_CHECKS = {
    "tcpSocket": ("tcp", "    option tcp-check\n    tcp-check connect"),
    "httpGet": (
        "http",
        "    option httpchk\n"
        "    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host targets hdr User-Agent check hdr Accept */*\n"
        "    http-check expect status 200-399",
    ),
}

BLACKBOX = """\
modules:
  tcpSocket: {prober: tcp, timeout: 10s, tcp: {preferred_ip_protocol: ip4}}
  httpGet: {prober: http, timeout: 10s, http: {preferred_ip_protocol: ip4}}
"""


class MissingError(Exception):
    """A program is not to be had on this machine; the text says why."""


@dataclass(frozen=True)
class Running:
    """A process that answers, and the port it listens on (0: none)."""

    pid: int
    port: int = 0
    tls_port: int = 0

    def cpu(self) -> float:
        """The CPU seconds that it has taken so far."""
        return time.clock_gettime(_cpu_clock(self.pid))


def _cpu_clock(pid: int) -> int:
    """The clock that counts a process's CPU to the nanosecond; /proc/PID/stat counts in hundredths of a second."""
    clock = ctypes.c_int()
    code = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if code:
        raise OSError(code, os.strerror(code))
    return clock.value


def program(name: str) -> Programs:
    """The programs of a server, fetched if need be. Raises MissingError."""
    found = programs.state(name)
    if isinstance(found, Buildable):
        with contextlib.suppress(subprocess.SubprocessError):  # the state says whether it is there now
            programs.fetch(name)
        found = programs.state(name)
    if isinstance(found, Unavailable):
        raise MissingError(found.reason)
    if not isinstance(found, Programs):
        raise MissingError(f"{name} could not be fetched")
    return found


def version(name: str) -> str:
    """The version of a server's program, such as "2.6.12". Raises MissingError."""
    found = program(name)
    told = subprocess.run(
        [found.paths[programs.SERVERS[name].programs[0]], *programs.SERVERS[name].version],
        env=found.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        text=True,
    ).stdout
    words = told.replace("/", " ").replace("-", " ").split()
    return next(word for word in words if word[:1].isdigit() and "." in word)


@contextlib.contextmanager
def nginx(directory: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[Running]:
    """A web server on every address of 127.0.0.0/8, one process; ``tls`` is a certificate and its key."""
    found = program("nginx")
    http, https = free_ports(2)
    settings = directory / "nginx.conf"
    settings.write_text(
        NGINX.format(
            directory=directory,
            descriptors=descriptors(),
            connections=descriptors() - 100,
            http=http,
            tls=NGINX_TLS.format(port=https, certificate=tls[0], key=tls[1]) if tls else "",
        )
    )
    command = [str(found.paths["nginx"]), "-p", str(directory), "-c", str(settings), "-e", "stderr"]
    with running(command, found.environment, lambda: listens(http)) as process:
        yield Running(process.pid, http, https if tls else 0)


def requests(target: Running) -> int:
    """How many requests an nginx has had so far, those for this number included."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/count", timeout=10.0) as answer:
        return int(answer.read().split()[9])


@contextlib.contextmanager
def haproxy(directory: Path, kind: str, hosts: Sequence[str], port: int, *, period: float) -> Iterator[Running]:
    """A load balancer, one thread, that does nothing but check ``hosts``, each once in ``period`` seconds.

    It spreads their first checks over one period. How it ends connections is its own default: by a reset after a bare
    connect, before the handshake is complete on the server's side.
    """
    found = program("haproxy")
    mode, check = HAPROXY_CHECKS[kind]
    interval = f"{period * 1000:.0f}ms"
    servers = "\n".join(f"    server s{i} {host}:{port} check inter {interval}" for i, host in enumerate(hosts))
    settings = directory / "haproxy.cfg"
    settings.write_text(HAPROXY.format(directory=directory, mode=mode, check=check, servers=servers))
    command = [str(found.paths["haproxy"]), "-db", "-q", "-f", str(settings)]
    with running(command, found.environment, lambda: bool(haproxy_states(directory))) as process:
        yield Running(process.pid)


def haproxy_states(directory: Path) -> list[str]:
    """How each server's latest check ended, in HAProxy's words such as L4OK; "" before the first. Empty: not up yet."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as control:
        control.settimeout(5.0)
        control.connect(str(directory / "haproxy.sock"))
        control.sendall(b"show stat -1 4 -1\n")
        answer = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        head, *lines = answer.strip().splitlines()
        column = head.split(",").index("check_status")
        return [line.split(",")[column].removeprefix("* ") for line in lines]
    return []


@contextlib.contextmanager
def blackbox(directory: Path) -> Iterator[Running]:
    """Prometheus's blackbox_exporter, which probes when it is asked to."""
    found = program("blackbox")
    (port,) = free_ports(1)
    settings = directory / "blackbox.yml"
    settings.write_text(BLACKBOX)
    command = [
        str(found.paths["prometheus-blackbox-exporter"]),
        f"--config.file={settings}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(command, found.environment, lambda: listens(port)) as process:
        yield Running(process.pid, port)


@contextlib.contextmanager
def grpc_server() -> Iterator[int]:
    """A real gRPC server with the health service; yields its port."""
    command = [sys.executable, "-m", "benchmarks.kept", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program, from when it is ready; it ends with the block. Raises RuntimeError where it does not start."""
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            given_up = time.monotonic() + START_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > given_up:
                    raise RuntimeError(f"{command[0]} did not start; what it said is on standard error")
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def listens(port: int) -> bool:
    """Whether something listens at a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def descriptors() -> int:
    """How many descriptors a process may have open here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65536 if most == resource.RLIM_INFINITY else min(most, 65536)
