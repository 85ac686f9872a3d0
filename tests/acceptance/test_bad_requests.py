"""What no application should send, to a proxy in a process of its own, byte for byte as it stands here: refused with a problem
document that repeats nothing of it, and nothing breaks."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.reads import Mode
from bridge.sandbox.serving import Proxy, free_port
from tests import ready
from tests.conftest import Server, fresh_database
from tests.patience import PATIENCE
from tests.reading import route
from tests.rig import Rig

READ, OPERATE = "r" * 24, "o" * 24
SHOP = """
create table users (id int primary key, name text);
insert into users select g, 'user ' || g from generate_series(1, 20) g;
create table pairs (a text, b text, primary key (a, b));
insert into pairs values ('x', 'y');
create table words (word text primary key);
insert into words values ('search'), ('recall'), ('remember'), ('recognize'), ('..'), ('.'), ('a/b'), ('%2F'), (''), ('é');
"""


@pytest.fixture(scope="module")
def proxy(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with tokens, over a rig whose bridge runs; two tables are answered by Engram."""
    folder: Path = tmp_path_factory.mktemp("bad")
    for database in fresh_database(postgres):
        port = free_port(0)
        rig = Rig(folder, database, serve={"port": port, "read_token": READ, "operate_token": OPERATE, "min_lsn_wait": 0.2})
        command = [*ready.command(), "serve", "--config", str(rig.file)]
        proxy = Proxy(command, f"http://127.0.0.1:{port}", folder / "proxy.log")
        try:
            rig.sql(*SHOP.strip().split(";\n"))
            rig.start()
            rig.wait_until_proven()
            for label in ("public.users", "public.words"):
                route(rig.ledger_location, label, Mode.ENGRAM, 100)
            proxy.start()
            yield proxy
            assert proxy.process is not None
            assert proxy.process.poll() is None, proxy.said()
            assert "defect" not in proxy.said()
        finally:
            proxy.kill()
            rig.close()


@dataclass(frozen=True)
class Answered:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(proxy: Proxy, path: str, *, method: str = "GET", token: str | None = READ, **headers: str) -> Answered:
    """The path goes out as it is, escapes and all."""
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=PATIENCE)
    try:
        connection.putrequest(method, "/", skip_accept_encoding=True)
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]  # http.client refuses some paths itself
        given = {"Authorization": f"Bearer {token}"} if token else {}
        for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answered(response.status, response.headers, response.read())
    finally:
        connection.close()


def refused(answered: Answered, *statuses: int) -> None:
    assert answered.status in statuses, answered.body[:500]
    assert answered.headers["content-type"] == "application/problem+json"
    problem = json.loads(answered.body)
    assert problem["status"] == answered.status
    assert problem["title"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/nothing/1", 404),
        ("/v1/public.nothing/1", 404),
        ("/v1/pg_catalog.pg_class/1", 404),
        ("/v1/users;drop/1", 404),
        ("/v1/USERS/1", 404),
        ("/v1/users/x", 404),
        ("/v1/users/1e1", 404),
        ("/v1/users/01", 404),
        ("/v1/users/99999999999999999999999", 404),
        ("/v1/users/1_2", 404),
        ("/v1/pairs/x", 404),
        ("/v1/pairs/x_y_z", 404),
        ("/v1/pairs/x%2Fy", 404),
        ("/v1/users/1/2", 404),
        ("/v1/users/1/", 404),
        ("/v1//1", 404),
        ("/v2/users/1", 404),
        ("/v1/users?keys=" + ",".join(["1"] * 101), 400),
        ("/v1/users", 400),
        ("/v1/users?keys=%00", 400),
        ("/v1/users/%00", 400),
        ("/v1/users/1%00", 400),
        ("/v1/users/../users/1", 400),
        ("/v1/users/%2e%2e/users", 400),
        ("/v1/users/.", 400),
        ("/../../etc/passwd", 400),
        ("/page/../../config.py", 400),
        ("/v1/users/%", 400),
        ("/v1/users/%zz", 400),
        ("/v1/users/%ff%fe", 400),
        ("/v1/users/" + "1" * 9000, 414),
        ("/v1/" + "a/" * 3000, 404),
    ],
    ids=lambda value: str(value)[:32],
)
def test_paths_that_lead_nowhere(proxy: Proxy, path: str, status: int) -> None:
    """Each is told in the same form, whatever part of the server finds it."""
    answered = ask(proxy, path)
    refused(answered, status)
    assert len(answered.body) < 1000


@pytest.mark.parametrize(
    ("word", "escaped"),
    [
        ("search", "search"),
        ("recall", "recall"),
        ("remember", "remember"),
        ("recognize", "recognize"),
        ("a/b", "a%2Fb"),
        ("a/b", "a%2fb"),
        ("%2F", "%252F"),
        ("é", "%C3%A9"),
        ("", ""),
    ],
)
def test_keys_that_look_like_something_else_are_keys(proxy: Proxy, word: str, escaped: str) -> None:
    """Engram has routes of these names, and others would be split or decoded twice."""
    answered = ask(proxy, f"/v1/words/{escaped}")
    assert answered.status == 200, answered.body
    assert json.loads(answered.body) == {"word": word}
    assert answered.headers["x-served-by"] == "engram", dict(answered.headers)


def test_keys_that_no_path_may_have_are_asked_for_in_the_query(proxy: Proxy) -> None:
    answered = ask(proxy, "/v1/words?key=..&key=.&key=a%2Fb&key=")
    assert [row["key"] for row in json.loads(answered.body)["rows"]] == ["..", ".", "a/b", ""]


@pytest.mark.parametrize(
    "value", ["", "0", "0/", "/0", "x/y", "0/1 ", "-1/0", "0/1,0/2", "123456789/0", "1" * 5000, "0x1/0", "٣/١"]
)
def test_a_position_that_is_none(proxy: Proxy, value: str) -> None:
    """Told, not guessed: an application that asks for its own write must not get an older row in silence."""
    if value.strip() == value and value.isascii():
        refused(ask(proxy, "/v1/users/1", X_Min_Lsn=value), 400)
    else:
        assert ask(proxy, "/v1/users/1", X_Min_Lsn=value.encode().decode("latin-1")).status in (200, 400)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "NaN", "inf", "9" * 30, "soon"])
def test_a_staleness_that_is_none(proxy: Proxy, value: str) -> None:
    refused(ask(proxy, "/v1/users/1", X_Max_Staleness_Ms=value), 400)


def test_a_position_of_the_far_future_is_waited_for_no_longer_than_said(proxy: Proxy) -> None:
    """Then PostgreSQL answers, which would have it."""
    began = time.monotonic()
    answered = ask(proxy, "/v1/users/1", X_Min_Lsn="FFFFFFFF/FFFFFFFF")
    waited = time.monotonic() - began
    assert answered.status == 200
    assert (answered.headers["x-served-by"], answered.headers["x-fallback-reason"]) == ("postgres", "min-lsn")
    assert waited >= 0.2


def test_a_staleness_of_nothing_is_answered_by_postgresql(proxy: Proxy) -> None:
    answered = ask(proxy, "/v1/users/1", X_Max_Staleness_Ms="0")
    assert (answered.headers["x-served-by"], answered.headers["x-fallback-reason"]) == ("postgres", "stale")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_methods_that_write(proxy: Proxy, method: str) -> None:
    """Rows are read here and nowhere else."""
    answered = ask(proxy, "/v1/users/1", method=method)
    assert answered.status in (400, 405), answered.body
    if answered.status == 405:
        refused(answered, 405)
        assert "GET" in answered.headers["allow"]


def test_queries_that_are_too_large(proxy: Proxy) -> None:
    """A megabyte, and lines that no server reads to their end."""
    for path in ("/v1/users?keys=" + "1," * 500_000, "/v1/search?q=" + "a" * 1_000_000):
        try:
            answered = ask(proxy, path)
        except (ConnectionError, http.client.BadStatusLine):
            continue  # the server may close the connection on it
        assert answered.status in (400, 414), answered.body[:200]


@pytest.mark.parametrize("token", [None, "", "x", "r" * 23, "r" * 25, "R" * 24, "é" * 24, "r" * 10_000])
def test_tokens_that_are_none(proxy: Proxy, token: str | None) -> None:
    """Whatever is asked: it is not even told whether there is such a table."""
    for path in ("/v1/users/1", "/v1/users?keys=1", "/v1/nothing/1"):
        answered = ask(proxy, path, token=None, **({"Authorization": f"Bearer {token}"} if token is not None else {}))
        refused(answered, 401)
        assert answered.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Basic " + READ, READ, f"Bearer{READ}", f"Token {READ}"])
def test_tokens_in_another_form(proxy: Proxy, header: str) -> None:
    refused(ask(proxy, "/v1/users/1", token=None, Authorization=header), 401)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/users/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/users/1\r\n\r\n",
        b"GET http://other/v1/users/1 HTTP/1.1\r\nHost: other\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/users/1 HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ],
    ids=["two lengths", "http 0.9", "absolute", "asterisk", "tls", "long header"],
)
def test_what_is_hardly_http(proxy: Proxy, sent: bytes) -> None:
    """It is answered with an error, or the connection ends; and the next request is answered as ever."""
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            got = connection.recv(65536)
        except ConnectionError:
            got = b""
    assert not got.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5", b"HTTP/1.0 2")), got[:200]
    assert ask(proxy, "/v1/users/1").status == 200
