"""What callers send: refused as a problem document, or answered; never a 5xx, and never a space that the ledger does not know."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from bridge.errors import ConfigError
from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running

WORDS = """
create table words (name text primary key, n int);
insert into words values ('search', 1), ('recall', 2), ('remember', 3), ('recognize', 4);
insert into words values ('a/b', 5), ('..', 6), ('', 7), ('x,y', 8);
create table pairs (a int, b int, primary key (a, b));
insert into pairs values (1, 2);
create table notes (n int);
"""
READ, OPERATE = "r" * 24, "o" * 24

BAD = [
    ("/v1/nothing/1", 404),
    ("/v1/pg_class/1", 404),
    ("/v1/words%2Fx/1", 404),
    ("/v1/notes/1", 404),
    ("/v1/pairs/1", 404),
    ("/v1/pairs/1_2_3", 404),
    ("/v1/pairs/1_x", 404),
    ("/v1/pairs/99999999999999999999_1", 404),
    ("/v1/pairs/01_2", 404),
    ("/v1/words/%00", 400),
    ("/v1/words/%ff", 400),
    ("/v1/words/%zz", 400),
    ("/v1/words/..%2f..%2fetc", 404),
    ("/v1/words/%2e%2e", 400),
    ("/v1/words/" + "k" * 10_000, 414),
    ("/v1/words?keys=" + "k," * 20_000, 414),
    ("/v1/words?keys=" + "k," * 101, 400),
    ("/v1/words", 400),
    ("/v1/words/a/b/c", 404),
    ("/v1", 404),
    ("/nothing", 404),
]


def test_bad_input_is_a_problem(make_rig: MakeRig) -> None:
    """Each has the status that it should, as a problem document; what a key may be is answered all the same."""
    rig = make_rig(tables={"notes": {"duplicates": "collapse"}})
    rig.sql(*[statement for statement in WORDS.split(";") if statement.strip()], "alter table notes replica identity full")
    rig.start()
    rig.wait_until_proven()
    spaces = {space["id"] for space in httpx.get(f"{rig.engram.http}/api/v1/spaces").json()["spaces"]}

    async def ask() -> None:
        async with reader(rig.config) as client:
            for mode in (Mode.POSTGRES, Mode.ENGRAM, Mode.ENGRAM_ONLY):
                for label in ("public.words", "public.pairs"):
                    route(rig.ledger_location, label, mode, 100)
                for path, status in BAD:
                    answer = await client.get(path)
                    assert answer.status_code == status, (mode, path[:40], answer.text)
                    assert answer.headers["content-type"] == "application/problem+json", path[:40]
                    assert answer.json()["status"] == status
                for key, n in (
                    ("search", 1),
                    ("recall", 2),
                    ("remember", 3),
                    ("recognize", 4),
                    ("a%2Fb", 5),
                    ("", 7),
                    ("x,y", 8),
                ):
                    assert (await client.get(f"/v1/words/{key}")).json()["n"] == n, (mode, key)
                assert (await client.get("/v1/words?key=..&key=x%2Cy")).json()["missing"] == []
                assert (await client.get("/v1/pairs/1_2")).json() == {"a": 1, "b": 2}
            for name, values in (
                ("X-Min-Lsn", ("x", "1", "0x1/0", "+1/0", "123456789/0", "", "1/0,1/0")),
                ("X-Max-Staleness-Ms", ("-1", "x", "1.5", "1e3", "9999999999", "")),
                ("X-Tenant", ("", "t" * 300)),
            ):
                for value in values:
                    answer = await client.get("/v1/words/search", headers={name: value})
                    assert answer.status_code == 400, (name, value, answer.text)
            far = await client.get("/v1/words/search", headers={"X-Min-Lsn": "FFFFFFFF/0"})
            assert (far.status_code, far.json()["reasons"]) == (503, ["min-lsn"])  # of engram-only
            route(rig.ledger_location, "public.words", Mode.ENGRAM, 100)
            far = await client.get("/v1/words/search", headers={"X-Min-Lsn": "FFFFFFFF/0"})
            assert (far.status_code, far.headers["x-fallback-reason"]) == (200, "min-lsn")
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                answer = await client.request(method, "/v1/words/search", content=b"x" * 1000)
                assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
                assert answer.headers["content-type"] == "application/problem+json"
            elsewhere = await client.get("/v1/words/search", headers={"Host": "evil.example"})
            assert elsewhere.status_code == 403

    running(ask)
    assert {space["id"] for space in httpx.get(f"{rig.engram.http}/api/v1/spaces").json()["spaces"]} == spaces


def test_tokens_and_tenants(make_rig: MakeRig) -> None:
    """Without a token nothing is told; a tenant sees its own rows, by either path, and cannot tell another's from none."""
    rig = make_rig(tables={"docs": {"tenant": "owner"}})
    rig.sql("create table docs (id int primary key, owner text)", "insert into docs values (1, 'ann'), (2, 'bob'), (3, null)")
    rig.start()
    rig.wait_until_proven()
    tokens = {"read_token": SecretStr(READ), "operate_token": SecretStr(OPERATE), "tenant_tokens": {"bob": SecretStr("b" * 24)}}

    async def ask() -> None:
        async with reader(rig.config, **tokens) as client:

            async def get(path: str, token: str | None, tenant: str | None = None) -> httpx.Response:
                headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
                return await client.get(path, headers=headers | ({"X-Tenant": tenant} if tenant is not None else {}))

            for bad in (None, "", "x", READ[:-1], READ + "r", "é"):
                header = {"Authorization": f"Bearer {bad}".encode()} if bad is not None else {}
                refused = await client.get("/v1/docs/1", headers=header)
                assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="engram-bridge"'), bad
            for mode in (Mode.POSTGRES, Mode.ENGRAM):
                route(rig.ledger_location, "public.docs", mode, 100)
                assert (await get("/v1/docs/1", READ, "ann")).json() == {"id": 1, "owner": "ann"}
                assert (await get("/v1/docs/2", "b" * 24)).json() == {"id": 2, "owner": "bob"}
                assert (await get("/v1/docs/2", "b" * 24, "ann")).status_code == 403
                others = [
                    await get("/v1/docs/2", READ, "ann"),
                    await get("/v1/docs/3", READ, "ann"),
                    await get("/v1/docs/4", READ, "ann"),
                ]
                assert {one.status_code for one in others} == {404}
                assert len({one.content for one in others}) == 1
                assert not any("x-fallback-reason" in one.headers or "x-served-by" in one.headers for one in others)
                assert (await get("/v1/docs/1", OPERATE)).status_code == 404
                several = await get("/v1/docs?keys=1,2,3,4", READ, "ann")
                assert ([row["key"] for row in several.json()["rows"]], several.json()["missing"]) == (["1"], ["2", "3", "4"])

    running(ask)


def test_off_the_loopback_it_does_not_start_open(make_rig: MakeRig) -> None:
    """Without tokens, and without TLS or a proxy that has it, strangers could use or hear it."""
    rig = make_rig()
    settings = rig.config

    def serving(**serve: object) -> None:
        create_app(settings.model_copy(update={"serve": settings.serve.model_copy(update={"host": "0.0.0.0", **serve})}))

    with pytest.raises(ConfigError, match="there is no token"):
        serving()
    with pytest.raises(ConfigError, match="nothing is encrypted"):
        serving(read_token=SecretStr(READ))
    serving(read_token=SecretStr(READ), behind_proxy=True)
    serving(read_token=SecretStr(READ), tls_certificate="c.pem", tls_key="k.pem")
