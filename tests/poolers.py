"""What can stand between a client and PostgreSQL: a real PgBouncer, and a balancer that hands connections out in turn."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bridge.sandbox.postgres import _unprivileged_user
from tests.patience import PATIENCE

SWALLOWS = "ignore_startup_parameters = options, extra_float_digits, search_path"


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def pgbouncer(folder: Path, port: int, *, mode: str, swallows: bool = False) -> Iterator[int]:
    """A PgBouncer in front of the server at `port`; its own port. Skips the test, and says so, where there is none."""
    binary = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        pytest.skip("there is no pgbouncer on this machine (apt-get install pgbouncer)")
    own = free_port()
    settings = folder / f"{mode}-{own}.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={port} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nauth_type = any\npool_mode = {mode}\n"
        f"unix_socket_dir =\n{SWALLOWS if swallows else ''}\n"
    )
    user = _unprivileged_user()  # it refuses to run as root
    for parent in (settings, *settings.parents) if user else ():
        if not parent.stat().st_mode & 0o004 and parent.is_relative_to("/tmp"):
            parent.chmod(parent.stat().st_mode | (0o044 if parent == settings else 0o011))
    with (folder / "pgbouncer.log").open("ab") as log:
        process = subprocess.Popen([binary, *(("-u", user.pw_name) if user else ()), str(settings)], stdout=log, stderr=log)
    try:
        _wait_for(own)
        yield own
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def balanced(ports: Sequence[int]) -> Iterator[int]:
    """A TCP balancer that leads each new connection to the next server; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    turns = itertools.cycle(ports)
    threads: list[threading.Thread] = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                client, _address = listener.accept()
                server = socket.create_connection(("127.0.0.1", next(turns)))
                threads.append(threading.Thread(target=_serve, args=(client, server), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
        listener.close()
        for thread in threads:
            thread.join(10)


def _serve(client: socket.socket, server: socket.socket) -> None:
    with client, server:
        back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
        back.start()
        _pass_on(client, server)
        back.join(10)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < deadline, "pgbouncer does not listen"
        time.sleep(0.1)
