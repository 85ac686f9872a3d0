"""What docker-compose.yml tells its containers, done without Docker: its SQL, configuration, commands and checks of health."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.sandbox.postgres import SandboxPostgres
from tests import ready
from tests.conftest import sandbox
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


class Containers:
    """Services as processes of this machine: the same words, with this machine's addresses and paths in them."""

    def __init__(self, folder: Path, postgres: SandboxPostgres) -> None:
        self.folder = folder
        self.ports = {"engram": free_port(), "grpc": free_port(), "proxy": free_port()}
        self._processes: list[ready.Process] = []
        self._words = [
            ("/run/secrets", str(folder / "secrets")),
            ("/etc/engram-bridge", str(folder)),
            ("/var/lib/engram-bridge", str(folder)),
            ("@postgres:5432", f"@127.0.0.1:{postgres.port}"),
            ("engram:7432", f"127.0.0.1:{self.ports['engram']}"),
            ("engram:50051", f"127.0.0.1:{self.ports['grpc']}"),
            ("127.0.0.1:7432", f"127.0.0.1:{self.ports['engram']}"),
            ("127.0.0.1:8432", f"127.0.0.1:{self.ports['proxy']}"),
            ("0.0.0.0", "127.0.0.1"),
        ]
        (folder / "secrets").mkdir()
        for name in SERVICES["postgres"]["secrets"] + SERVICES["proxy"]["secrets"]:
            (folder / "secrets" / name).write_text(f"0123456789abcdef{name}", encoding="ascii")
        text = self.here((ROOT / "deploy/bridge.yaml").read_text(encoding="utf-8"))
        (folder / "bridge.yaml").write_text(text, encoding="utf-8")

    def here(self, text: str) -> str:
        """A text of the compose file, for this machine."""
        for there, here in self._words:
            text = text.replace(there, here)
        return text

    def start(self, name: str, *options: str) -> None:
        """The service's command."""
        command = [*ready.command(), *[self.here(word) for word in SERVICES[name]["command"]], *options]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes.append(ready.started(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def wait_until_healthy(self, name: str) -> None:
        """Until its own check says so."""
        kind, *words = [self.here(word) for word in SERVICES[name]["healthcheck"]["test"]]
        command = words if kind == "CMD" else ["sh", "-c", words[0]]
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, env=environment).returncode:
            log = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            assert all(process.poll() is None for process in self._processes), f"{name} has ended: {log}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {log}"
            time.sleep(0.2)

    def end(self) -> None:
        """All of them, the last first."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait(60)


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    postgres = sandbox(tmp_path / "postgres")
    if not (postgres.bin_path / "psql").exists():
        pytest.skip("there is no psql")
    with postgres:
        found = Containers(tmp_path, postgres)
        try:
            for script in sorted((ROOT / "deploy/postgres/init").glob("*.sql")):
                text = found.here(script.read_text(encoding="utf-8"))
                command = [postgres.bin_path / "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", postgres.url()]
                subprocess.run(command, input=text.encode(), check=True, capture_output=True, timeout=PATIENCE)
            yield found
        finally:
            found.end()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_what_compose_starts_serves_rows(containers: Containers) -> None:
    """Each service becomes healthy in its turn, and then the documented request is answered, with the token only."""
    containers.start("engram", "--port", str(containers.ports["engram"]), "--grpc-port", str(containers.ports["grpc"]))
    containers.wait_until_healthy("engram")
    containers.start("bridge")
    containers.wait_until_healthy("bridge")
    containers.start("proxy", "--port", str(containers.ports["proxy"]))
    containers.wait_until_healthy("proxy")
    request = urllib.request.Request(f"http://127.0.0.1:{containers.ports['proxy']}/v1/orders/7")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=PATIENCE)
    token = (containers.folder / "secrets/read_token").read_text(encoding="ascii")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.read().startswith(b'{"id":7,"customer_id":8,"note":"Leave it at the door.","total":"8.75"')
