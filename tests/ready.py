"""Commands by a process that has everything imported already: each is a fork of it, and costs no start of Python.

`python -m tests.ready SOCKET` waits for orders; the programs that `install` writes give them, with their arguments, folder,
environment and open files, wait for the end, and pass signals on. So a shell does not notice the difference.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"engram-bridge": "bridge.cli", "migrate-postgresql": "bridge.cli.migrating"}
IMPORTED = ("bridge.preflight", "bridge.running", "bridge.validation", "bridge.migration", "bridge.report", "api.app", "numpy")

CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys
ready = socket.socket(socket.AF_UNIX)
ready.connect({address!r})
order = json.dumps([{program!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
ready.sendmsg([b"%10d" % len(order)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
ready.sendall(order)
child = int(ready.recv(20))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _frame: os.kill(child, number))
sys.exit(int(ready.recv(20) or b"1"))
"""


def install(folder: Path, address: Path) -> subprocess.Popen[bytes]:
    """Start the process, and write the programs that give it orders."""
    for program in PROGRAMS:
        file = folder / program
        file.write_text(CLIENT.format(python=sys.executable, address=str(address), program=program), encoding="utf-8")
        file.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "tests.ready", str(address)], env=environment, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not address.exists():
        assert process.poll() is None, "it did not start"
        assert time.monotonic() < deadline, "it did not start in a minute"
        time.sleep(0.05)
    return process


def main(address: str) -> NoReturn:
    """Wait for orders. There is one thread here, so that a fork is a whole copy."""
    for module in (*PROGRAMS.values(), *IMPORTED):
        with contextlib.suppress(ModuleNotFoundError):
            import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who serve one order
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address + ".new")
        listening.listen(16)
        os.rename(address + ".new", address)
        while True:
            one, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _serve(one)
            one.close()


def _serve(one: socket.socket) -> NoReturn:
    """One order: a child does it, and its end is told."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _flags, _address = socket.recv_fds(one, 10, 3)
    text = b""
    while len(text) < int(head):
        text += one.recv(1 << 20)
    program, arguments, folder, environment = json.loads(text)
    child = os.fork()
    if child == 0:
        one.close()
        _do(PROGRAMS[program], [program, *arguments], folder, environment, files)
    one.sendall(b"%d" % child)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, one], [], [])[0]:  # who gave the order was killed
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        one.sendall(b"%d" % (code if code >= 0 else 128 - code))
    os._exit(0)


def _do(module: str, arguments: list[str], folder: str, environment: Mapping[str, str], files: list[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**environment, "PYTHONPATH": str(ROOT)})
    sys.argv = arguments
    code = 1
    try:
        import_module(module).main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
