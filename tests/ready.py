"""Commands by a process that has everything imported already: each is a fork of it, and costs no start of Python.

`python -m tests.ready SOCKET` waits for orders; the programs that `install` writes give them, with their arguments, folder,
environment and open files, wait for the end, and pass signals on. So a shell does not notice the difference.

A start of Python with everything that the bridge imports takes two to three seconds of a processor, and the tests make hundreds:
`command` begins a command line for those that want its end or its output, `started` is a process for those that kill it.
ENGRAM_BRIDGE_TEST_READY=0 has every one of them start Python.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "engram-bridge": "bridge.cli",
    "migrate-postgresql": "bridge.cli.migrating",
    "sandbox-engram": "bridge.sandbox.engram.__main__",
}
MODULES = {"engram-bridge": "bridge", "migrate-postgresql": "bridge.cli.migrating", "sandbox-engram": "bridge.sandbox.engram"}
"""What Python runs for them where each is to start it."""
WANTED = os.environ.get("ENGRAM_BRIDGE_TEST_READY", "1") != "0"
IMPORTED = ("bridge.preflight", "bridge.running", "bridge.validation", "bridge.migration", "bridge.report", "api.app", "numpy")

CLIENT = """#!{python} -IS
import array, json, os, signal, socket, sys
ready = socket.socket(socket.AF_UNIX)
ready.connect({address!r})
order = json.dumps([{program!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
ready.sendmsg([b"%10d" % len(order)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
ready.sendall(order)
child = int(ready.recv(10))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _frame: os.kill(child, number))
code = int(ready.recv(20) or b"1")
sys.exit(code if code >= 0 else 128 - code)
"""


def install(folder: Path, address: Path) -> subprocess.Popen[bytes]:
    """Start the process, and write the programs that give it orders."""
    for program in PROGRAMS:
        file = folder / program
        file.write_text(CLIENT.format(python=sys.executable, address=str(address), program=program), encoding="utf-8")
        file.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "tests.ready", str(address)], env=environment, cwd=ROOT)
    deadline = time.monotonic() + PATIENCE
    while not address.exists():
        assert process.poll() is None, "it did not start"
        assert time.monotonic() < deadline, "it did not start"
        time.sleep(0.05)
    return process


@functools.cache
def _folder() -> Path:
    """Where this test process has its programs, and the socket of the process that does what they say."""
    folder = tempfile.TemporaryDirectory(prefix="ready-", ignore_cleanup_errors=True)
    process = install(Path(folder.name), Path(folder.name) / "socket")
    atexit.register(folder.cleanup)
    atexit.register(process.kill)
    return Path(folder.name)


def command(program: str = "engram-bridge") -> list[str]:
    """How a command line begins: `[*command(), "status", "--json"]`."""
    return [str(_folder() / program)] if WANTED else [sys.executable, "-m", MODULES[program]]


def started(words: list[str], **options: Any) -> Process:
    """A process of its own for a command line that begins with `command()`; of `options`, those of subprocess.Popen that Started
    takes."""
    if not WANTED:
        return subprocess.Popen(words, **options)
    return Started(words, **options)


class Started:
    """A process that does one order; what the tests use of subprocess.Popen, with the pid of the process that does it.

    `wait` returns behind its end: nobody who was killed does anything any more.
    """

    def __init__(
        self,
        words: list[str],
        *,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        text: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        self.args = words
        self.returncode: int | None = None
        self.stdout: IO[Any] | None = None
        with contextlib.ExitStack() as ours:
            nothing = ours.enter_context(open(os.devnull, "r+b", buffering=0)).fileno()
            files = [0, 1, 2]
            for number, given in enumerate((stdin, stdout, stderr)):
                if given == subprocess.PIPE and number == 1:
                    reading, files[1] = os.pipe()
                    ours.callback(os.close, files[1])
                    self.stdout = os.fdopen(reading, "r" if text else "rb")
                elif given == subprocess.STDOUT:
                    files[number] = files[1]
                elif given is not None:
                    given = nothing if given == subprocess.DEVNULL else given
                    files[number] = given if isinstance(given, int) else given.fileno()
            self._orders = socket.socket(socket.AF_UNIX)
            self._orders.connect(str(Path(words[0]).parent / "socket"))
            order = [Path(words[0]).name, words[1:], str(cwd or Path.cwd()), dict(os.environ if env is None else env)]
            data = json.dumps(order).encode()
            socket.send_fds(self._orders, [b"%10d" % len(data)], files)
            self._orders.sendall(data)
        self.pid = int(self._orders.recv(10))

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it, to one that runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._orders], [], [], timeout)[0]:
            self.returncode = int(self._orders.recv(20) or b"-9")
            self._orders.close()
        return self.returncode


Process: TypeAlias = subprocess.Popen[Any] | Started


def spawn_engram(_server: object, options: list[str]) -> Process:
    """A sandbox Engram, instead of `SandboxEngram._spawn`."""
    return started([*command("sandbox-engram"), *options], stdout=subprocess.PIPE, text=True)


def main(address: str) -> NoReturn:
    """Wait for orders, as long as there is who gives them. There is one thread here, so that a fork is a whole copy."""
    parent = os.getppid()
    for module in (*PROGRAMS.values(), *IMPORTED):
        with contextlib.suppress(ModuleNotFoundError):
            import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who serve one order
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address + ".new")
        listening.listen(16)
        listening.settimeout(5.0)
        os.rename(address + ".new", address)
        while True:
            try:
                one, _ = listening.accept()
            except TimeoutError:
                if os.getppid() != parent:
                    sys.exit()
                continue
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
    one.sendall(b"%10d" % child)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, one], [], [])[0]:  # who gave the order was killed
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        one.sendall(b"%d" % code)
    os._exit(0)


def _do(module: str, arguments: list[str], folder: str, environment: Mapping[str, str], files: list[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    faulthandler.register(signal.SIGUSR1)  # where its threads are, for those who wait for it in vain
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
    except BaseException:  # noqa: BLE001  (as Python itself would say it)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
