"""The proxy as processes: beside a run, several at once, and while PostgreSQL, the bridge and Engram are killed and come back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import yaml

from bridge.reads import Mode
from bridge.sandbox.postgres import SandboxPostgres
from tests import ready
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.reading import route
from tests.rig import Rig

ITEMS = "create table items (id int primary key, n int not null)"
SOME = "insert into items select g, 0 from generate_series(1, 40) g"


class Served:
    """A client of a process that serves, as soon as that says where it listens."""

    def __init__(self, rig: Rig, address: str, pid: int = 0, log: Path | None = None) -> None:
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)
        self.pid = pid
        self._rig = rig
        self._log = log

    def said(self, text: str, times: int, timeout: float = PATIENCE) -> None:
        """Until its log has it so often."""
        assert self._log is not None
        end = time.monotonic() + timeout
        while self._log.read_text().count(text) < times:
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)

    def get(self, key: int, **headers: str) -> httpx.Response:
        """One item."""
        return self.client.get(f"/v1/items/{key}", headers={name.replace("_", "-"): value for name, value in headers.items()})

    def next_status(self, timeout: float = PATIENCE) -> int:
        """That of the next answer to whoever brings no token."""
        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(httpx.TransportError):
                return self.get(1).status_code
            assert time.monotonic() < end, self._rig.tail()
            time.sleep(0.05)

    def until(self, wanted: str, key: int = 1, timeout: float = PATIENCE) -> httpx.Response:
        """Until an item is answered by this one, for this reason, or with this status."""
        end, last = time.monotonic() + timeout, "no answer"
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = self.get(key)
                if wanted in (
                    answer.headers.get("x-served-by"),
                    answer.headers.get("x-fallback-reason"),
                    str(answer.status_code),
                ):
                    return answer
                last = f"{answer.status_code} {answer.headers}"
            assert time.monotonic() < end, f"no answer with {wanted}: {last}\n{self._rig.tail()}"
            time.sleep(0.05)


def address_in(log: str, number: int = 0) -> str | None:
    """Where the log says that a proxy listens."""
    found = [line.split("address=")[1].split()[0] for line in log.splitlines() if "the proxy listens" in line]
    return found[number] if len(found) > number else None


@contextlib.contextmanager
def serving(rig: Rig, *options: str) -> Iterator[Served]:
    """`serve` in a process of its own."""
    log = rig.folder / f"serve-{os.urandom(3).hex()}.log"
    with log.open("wb") as file:
        command = [*ready.command(), "serve", "--config", str(rig.file), "--port", "0", *options]
        process = ready.started(command, stdout=file, stderr=file)
    try:
        end = time.monotonic() + PATIENCE
        while (address := address_in(log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        served = Served(rig, address, process.pid, log)
        served.until("200")
        yield served
        served.client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_proxy_beside_a_run(make_rig: MakeRig) -> None:
    """`run --serve`: it is started again when it dies, what it answers comes from Engram, and it ends with the run, however."""
    rig = make_rig(serve={"port": 0})
    rig.sql(ITEMS, SOME)
    rig.start("--serve")
    rig.wait_for("the proxy listens")
    rig.wait_until_proven()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    first = address_in(rig.log.read_text())
    assert first is not None
    one = Served(rig, first)
    one.until("engram")
    one.client.close()
    assert rig.process is not None
    (child,) = psutil.Process(rig.process.pid).children()
    child.kill()
    rig.wait_for("the proxy listens", more_than=1)
    assert rig.said("the proxy has ended and is started again") == 1
    second = address_in(rig.log.read_text(), 1)
    assert second is not None
    other = Served(rig, second)
    other.until("engram")
    other.client.close()
    (child,) = psutil.Process(rig.process.pid).children()
    rig.kill()
    child.wait(30)
    assert not child.is_running()


def test_postgres_and_the_bridge_die_and_come_back(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """PostgreSQL away: Engram answers in every mode while it is fresh, then nobody, then PostgreSQL again. The bridge away:
    PostgreSQL answers when what Engram has may be too old."""
    rig = make_rig(own_postgres.url(), serve={"max_staleness": 4.0})
    rig.sql(ITEMS, SOME)
    rig.start()
    rig.wait_until_proven()
    with serving(rig) as served:
        assert served.until("postgres").headers["x-fallback-reason"] == "mode"
        own_postgres.kill()
        assert served.until("engram").json() == {"id": 1, "n": 0}
        gone = served.until("503")
        assert (gone.headers["retry-after"], gone.json()["reasons"]) == ("1", ["stale"])
        own_postgres.start()
        assert served.until("postgres").json() == {"id": 1, "n": 0}
        route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
        served.until("engram")
        rig.kill()
        rig.sql("update items set n = 1")
        assert served.until("stale").json() == {"id": 1, "n": 1}
        assert served.get(2).json() == {"id": 2, "n": 1}


def test_own_writes_are_read_while_engram_restarts(make_rig: MakeRig) -> None:
    """A caller that names the position of its commit reads that write or a later one, whoever answers, whatever is killed."""
    rig = make_rig()
    rig.sql(ITEMS, SOME)
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    ended, wrong, seen = threading.Event(), [], set()

    def work(first: int) -> None:
        with psycopg.connect(rig.source, autocommit=True) as writer:
            for n in range(1, 100_000):
                if ended.is_set():
                    return
                key = first + n % 10
                writer.execute("update items set n = %s where id = %s", (n, key))
                row = writer.execute("select pg_current_wal_flush_lsn()").fetchone()
                answer = served.get(key, X_Min_Lsn=str(row[0]) if row else "")
                seen.add(answer.headers.get("x-served-by"))
                if answer.status_code != 200 or answer.json()["n"] != n:
                    wrong.append((key, n, answer.status_code, answer.text))

    with serving(rig, "--workers", "2") as served:
        threads = [threading.Thread(target=work, args=(first,)) for first in (1, 11, 21)]
        for thread in threads:
            thread.start()
        time.sleep(3)
        rig.engram.kill()
        time.sleep(1)
        rig.engram.start()
        time.sleep(6)
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert "postgres" in seen


def test_a_mode_is_effective_everywhere_at_once(make_rig: MakeRig) -> None:
    """Two proxies follow the ledger: a table comes and goes in both, and a share has the same keys in both."""
    rig = make_rig()
    rig.sql(ITEMS, SOME)
    rig.start()
    rig.wait_until_proven()
    with serving(rig) as one, serving(rig) as other:
        for mode, by in ((Mode.ENGRAM, "engram"), (Mode.POSTGRES, "postgres"), (Mode.ENGRAM, "engram")):
            route(rig.ledger_location, "public.items", mode, 100)
            assert {one.until(by, timeout=20.0).status_code, other.until(by, timeout=20.0).status_code} == {200}
        route(rig.ledger_location, "public.items", Mode.ENGRAM, 40)
        shares = []
        for served in (one, other, one):
            answers = {key: served.get(key) for key in range(1, 41)}
            shares.append({key for key, answer in answers.items() if answer.headers.get("x-fallback-reason") == "share"})
        assert shares[0] == shares[1] == shares[2]
        assert 10 < len(shares[0]) < 38


@contextlib.contextmanager
def connections(served: Served, number: int = 40) -> Iterator[list[httpx.Client]]:
    """So many connections at once that every process of a proxy has some of them."""
    workers = psutil.Process(served.pid).children()
    assert len(workers) >= 2
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=served.client.base_url, timeout=PATIENCE)) for _ in range(number)]
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(lambda client: client.get("/v1/items/1"), clients))
        port = served.client.base_url.port
        holding = [
            sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in worker.net_connections())
            for worker in workers
        ]
        assert sum(count > 0 for count in holding) >= 2, holding
        yield clients


def test_a_mode_is_effective_in_all_processes_of_a_proxy_within_a_second(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.sql(ITEMS, SOME)
    rig.start()
    rig.wait_until_proven()
    with serving(rig, "--workers", "2") as served, connections(served) as clients:
        for mode, by in (
            (Mode.ENGRAM, "engram"),
            (Mode.POSTGRES, "postgres"),
            (Mode.ENGRAM, "engram"),
            (Mode.SHADOW, "postgres"),
        ):
            route(rig.ledger_location, "public.items", mode, 100)
            time.sleep(1.0)
            answers = [client.get("/v1/items/1") for client in clients]
            reasons = {answer.headers.get("x-fallback-reason") for answer in answers} - {"stale", "engram-slow"}
            assert {answer.status_code for answer in answers} == {200}
            assert by in {answer.headers["x-served-by"] for answer in answers}
            assert reasons <= {None if by == "engram" else mode.value if mode is Mode.SHADOW else "mode"}


def test_sighup_is_followed_by_all_processes(make_rig: MakeRig) -> None:
    """Tokens and promises are taken over without a new start; a mistake in the file changes nothing, and nothing is ended."""
    rig = make_rig()
    rig.sql(ITEMS, SOME)
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    before = rig.file.read_text(encoding="utf-8")
    document = yaml.safe_load(before)
    token = "0123456789abcdef0123"
    document["serve"] = {"read_token": token, "max_staleness": 0.001, "postgres_connections": 7}
    with serving(rig, "--workers", "2") as served, connections(served) as clients:

        def statuses(**headers: str) -> set[int]:
            return {client.get("/v1/items/1", headers=headers).status_code for client in clients}

        def until(expected: set[int], **headers: str) -> None:
            end = time.monotonic() + PATIENCE
            while (found := statuses(**headers)) != expected:
                assert time.monotonic() < end, found
                time.sleep(0.1)

        assert statuses() == {200}
        workers = {worker.pid for worker in psutil.Process(served.pid).children()}
        rig.file.write_text("serve: {port: many}", encoding="utf-8")
        os.kill(served.pid, signal.SIGHUP)
        served.said("was not read again", 1)
        assert statuses() == {200}
        rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
        os.kill(served.pid, signal.SIGHUP)
        until({401})
        assert statuses(Authorization=f"Bearer {token}") == {200}
        reasons = {
            client.get("/v1/items/1", headers={"Authorization": f"Bearer {token}"}).headers.get("x-fallback-reason")
            for client in clients
        }
        assert reasons == {"stale"}
        served.said("take effect with the next start", 2)
        rig.file.write_text(before, encoding="utf-8")
        os.kill(served.pid, signal.SIGHUP)
        until({200})
        assert {worker.pid for worker in psutil.Process(served.pid).children()} == workers, "nobody was started again"
        rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
        os.kill(served.pid, signal.SIGHUP)
        until({401})
        rig.file.write_text("serve: {port: many}", encoding="utf-8")
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert served.next_status() == 401, "whoever is started again follows, too, whatever the file says by now"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_that_comes_before_anybody_serves_is_no_lost_one(make_rig: MakeRig, workers: str) -> None:
    """Whoever started it is gone before it can answer: it ends by itself all the same, and so does one that is told to."""
    rig = make_rig()
    rig.sql(ITEMS, SOME)
    rig.catch_up()
    command = [*ready.command(), "serve", "--config", str(rig.file), "--port", "0", "--workers", workers, "--with-parent"]
    for _ in range(3):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            while "the proxy listens" not in (line := process.stderr.readline()):
                assert line
            process.stdin.close()
            late = threading.Timer(PATIENCE, process.kill)
            late.start()
            said = process.stderr.read()
            late.cancel()
            assert process.wait() == 0, said
