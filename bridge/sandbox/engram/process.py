"""The double of the Engram server as a process of its own, to be started, killed and started again by tests."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_SECONDS = 10


class SandboxFailed(RuntimeError):
    """The sandbox Engram did not start, or did not do as it was told."""


class SandboxEngram:
    """One server on the loopback. The first start takes free ports, the following ones the same again.

    with SandboxEngram(tmp_path / "engram") as engram:
        ...                      # engram.http = "http://127.0.0.1:40123", engram.grpc = "127.0.0.1:40124"
        engram.kill()            # as kill -9: the last few milliseconds of writes may be lost
        engram.start()           # on the same data directory, with the real server's amnesia
    """

    def __init__(self, data: Path, *, capacity: int = 100_000, faults: Iterable[Mapping[str, object]] = ()) -> None:
        self.data = data
        self.http = ""
        self.grpc = ""
        self._capacity = capacity
        self._faults = list(faults)
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    def start(self) -> Self:
        """Start it and wait until it serves."""
        if self._process is not None:
            raise SandboxFailed("The sandbox Engram is running already.")
        self.data.mkdir(parents=True, exist_ok=True)
        options = ["--data", str(self.data)]
        options += ["--port", self.http.rpartition(":")[2] or "0", "--grpc-port", self.grpc.rpartition(":")[2] or "0"]
        options += ["--capacity", str(self._capacity)]
        self._process = self._spawn(options)
        self._read_addresses(self._process)
        if self._faults:
            self.faults(self._faults)
        return self

    def _spawn(self, options: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bridge.sandbox.engram", *options]
        # One thread for the matrix product: more of them only compete with the test for the processors.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Ask it to end and wait; its exit status."""
        return self._end(signal.SIGTERM)

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self._end(signal.SIGTERM if self._process.poll() is None else None)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait until it has ended by itself, as a `die` fault makes it; its exit status."""
        self._running().wait(seconds)
        return self._end(None)

    def faults(self, rules: Iterable[Mapping[str, object]] = ()) -> None:
        """Put these rules of misbehaviour in force instead of all others; none ends it."""
        self._post("/sandbox/faults", {"rules": list(rules)})

    def counters(self) -> dict[str, object]:
        """The rules in force with how often they struck, and the number of calls by kind."""
        return self._request("GET", "/sandbox/faults", None)

    def damage(self, space: str, identity: str, do: str = "remove", content: object = None) -> None:
        """Damage a stored row: remove, hide, resurrect; or content, vector, confidence, time, which becomes `content`."""
        order = {"space": space, "id": identity, "do": do}
        self._post("/sandbox/damage", order if content is None else {**order, do: content})

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise SandboxFailed("The sandbox Engram is not running.")
        return self._process

    def _read_addresses(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            name, _, value = line.strip().partition(": ")
            if name == "HTTP API":
                self.http = value
            elif name == "gRPC":
                self.grpc = value
            elif name == "ready":
                return
        raise SandboxFailed(f"The sandbox Engram ended with status {self._end(None)} before it was ready.")

    def _end(self, number: signal.Signals | None) -> int:
        process = self._running()
        if number is not None:
            process.send_signal(number)
        try:
            status = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return status

    def _post(self, path: str, document: object) -> None:
        self._request("POST", path, json.dumps(document))

    def _request(self, method: str, path: str, body: str | None) -> dict[str, object]:
        connection = http.client.HTTPConnection(self.http.removeprefix("http://"), timeout=_STOP_SECONDS)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, object] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise SandboxFailed(f"{method} {path} was answered with {response.status}: {answer}")
        return answer
