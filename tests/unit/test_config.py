"""The configuration: what is right is read, what is wrong is told with key, reason and remedy, and secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bridge.config import Config, load
from bridge.errors import ConfigError
from bridge.explain import explain, keys

ADDRESSES = "source: postgresql://u:secret1@h/d\ntarget: http://h:7432\n"


@pytest.fixture
def written(tmp_path: Path):
    """A function that writes a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "bridge.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_two_addresses_are_enough() -> None:
    """With flags alone everything else has a default."""
    config = load(None, source="postgresql://u@h/d", target="http://h:7432/", environment={})
    assert config.source.slot == config.source.publication == "engram_bridge"
    assert config.target.http == "http://h:7432"
    assert config.target.grpc_address == "h:50051"
    assert (config.target.capacity, config.target.limit) == (100_000, 90_000)
    assert config.ledger == "engram-bridge.db"
    assert config.tables == {}
    assert config.snapshot.workers == 4
    assert config.target.api_key is None


def test_the_whole_file_is_read(written) -> None:
    """Every key that the schema names can be set."""
    config = load(
        written(
            """
source: {url: postgresql://u@h/d, slot: other, publication: Other}
target: {http: "https://h", grpc: "g:1", api_key: k, capacity: 10, limit: 9, space_prefix: demo-}
ledger: /tmp/x.db
tables:
  users: {space: people, shards: 4, text: [name, bio], timestamp: joined, confidence: user_content}
  app.Orders: {confidence: 0.8, columns: {include: [id, note]}, duplicates: collapse}
  "odd name": {exclude: [blob]}
  plain:
include: ["*"]
exclude: audit_*
embedding: {model: hashing}
snapshot: {workers: 2, chunk_rows: 500, order: parents-first}
proof: all
migration: m1
"""
        )
    )
    assert config.target.grpc_address == "g:1"
    assert config.tables["users"].options().text == ("name", "bio")
    assert config.tables["app.Orders"].options().confidence == 0.8
    assert config.tables["app.Orders"].options().include == ("id", "note")
    assert config.tables["app.Orders"].options().collapse
    assert config.tables["odd name"].options().exclude == ("blob",)
    assert config.tables["plain"].shards == 1
    assert config.exclude == ("audit_*",)


def test_flags_win_over_the_file(written) -> None:
    """A flag replaces the address and nothing beside it, but another server has another gRPC address."""
    path = written("source: {url: 'dbname=a', slot: s}\ntarget: {http: 'http://a', grpc: 'a:1', limit: 5}\nledger: a.db\n")
    config = load(path, source="dbname=b", target="http://b", ledger="b.db")
    assert (config.source.url, config.source.slot) == ("dbname=b", "s")
    assert (config.target.grpc_address, config.target.limit) == ("b:50051", 5)
    assert config.ledger == "b.db"


def test_environment_variables_are_put_in(written) -> None:
    """`${VAR}` anywhere in a text, defaults, the escaped form, and numbers from the environment."""
    path = written(
        "source: postgresql://u:${PW}@h/${DB:-shop}\ntarget: http://h\nledger: $${x}.db\nsnapshot: {workers: '${N}'}\n"
    )
    config = load(path, environment={"PW": "a#b:{c}", "N": "3"})
    assert config.source.url == "postgresql://u:a#b:{c}@h/shop"
    assert config.ledger == "${x}.db"
    assert config.snapshot.workers == 3


def test_secrets_can_be_files(written, tmp_path) -> None:
    """`${file:PATH}` is the file's text without its last line's end; a file that is not there is told with key and path."""
    (tmp_path / "password").write_text("a b'c\n")
    path = written(f"source: \"host=h dbname=shop password='${{file:{tmp_path}/password}}'\"\ntarget: {{http: 'http://h'}}\n")
    with pytest.raises(ConfigError):  # the quote in it ends the connection string's own
        load(path)
    (tmp_path / "password").write_text("a b\n")
    assert load(path).source.url == "host=h dbname=shop password='a b'"
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigError, match=r"source: the file .*password cannot be read: No such file") as wrong:
        load(path)
    assert "a b" not in str(wrong.value) + wrong.value.hint


def test_the_api_key_comes_from_the_environment(written) -> None:
    """ENGRAM_API_KEY is used when the file has none."""
    environment = {"ENGRAM_API_KEY": "from-env"}
    for text, expected in ((ADDRESSES, "from-env"), ("source: a=b\ntarget: {http: 'http://h', api_key: mine}\n", "mine")):
        text = text.replace("a=b", "dbname=x")
        key = load(written(text), environment=environment).target.api_key
        assert key is not None
        assert key.get_secret_value() == expected


def test_secrets_are_not_in_repr(written) -> None:
    """Neither passwords nor keys show when a configuration is printed or logged."""
    config = load(written(ADDRESSES + "ledger: postgresql://l:secret2@h/d\n"), environment={"ENGRAM_API_KEY": "secret3"})
    assert "secret" not in repr(config) + str(config)
    assert "secret1" not in config.source.shown
    assert "host=h" in config.source.shown


def test_a_configuration_cannot_be_changed() -> None:
    """It is read once."""
    config = load(None, source="dbname=x", target="http://h", environment={})
    with pytest.raises(ValidationError):
        config.ledger = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("tabels: {}", "tabels: there is no such key", "Did you mean 'tables'?"),
        ("tables: {users: {timestmap: x}}", "tables.users.timestmap: there is no such key", "Did you mean 'timestamp'?"),
        ("tables: {a: {columns: {includ: [x]}}}", "tables.a.columns.includ: there is no such key", "'include'"),
        ("snapshot: {qqq: 1}", "snapshot.qqq: there is no such key", "There is: chunk_rows, order, workers."),
        ("snapshot: {workers: many}", "snapshot.workers: expected a valid integer", "Connections that read"),
        ("snapshot: {workers: many}", "found a text, 'many'", ""),
        ("snapshot: {workers: 0}", "snapshot.workers: expected greater than or equal to 1; found a number, 0", ""),
        ("tables: {a: {shards: 1.5}}", "tables.a.shards: expected a valid integer", "Spaces that"),
        ("tables: {a: {text: name}}", "tables.a.text: expected a valid tuple; found a text", ""),
        ("tables: {a: 3}", "tables.a: expected", "Exceptions by table"),
        ("tables: [a]", "tables: expected a valid dictionary; found a list", ""),
        ("tables: {a: {confidence: high}}", "one of verified, indexed, user_content, derived, or a number from 0.5 to 0.95", ""),
        ("tables: {a: {confidence: 0.99}}", "or a number from 0.5 to 0.95; found a number, 0.99", ""),
        ("tables: {a: {confidence: true}}", "or a number from 0.5 to 0.95; found yes/no", ""),
        ("tables: {a: {duplicates: keep}}", "tables.a.duplicates: expected 'collapse'", "rows that are equal"),
        ("tables: {1: {}}", "tables.1: the key is a number, and keys are texts", '"1"'),
        ("tables: {on: {}}", "the key is yes/no", "quotes"),
        ("proof: some", "proof: expected 'all'", ""),
        ("ledger: ''", "ledger: expected", ""),
        ("ledger: a\nledger: b", "the key 'ledger' stands twice", ""),
        ("tables: {a: [", "line 3", "must be YAML"),
        ("ledger: ${NOPE}", "ledger: the environment variable NOPE is not set", "Set NOPE"),
        ("ledger: ${NOPE", "ledger: `${` without", "$${"),
    ],
)
def test_mistakes_are_told(written, text: str, message: str, hint: str) -> None:
    """Every mistake names the key's path, what was found and what is wanted."""
    with pytest.raises(ConfigError) as caught:
        load(written(ADDRESSES + text), environment={})
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2
    assert "secret1" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_ledgers_address_is_not_shown_either(scheme: str) -> None:
    """A password that ends too early would be taken for the host, and be shown when that is not found."""
    with pytest.raises(ConfigError) as caught:
        load(None, source="dbname=x", target="http://h", ledger=f"{scheme}://u:p@secret@h/d?schema=s", environment={})
    assert "written %40" in str(caught.value)
    assert "secret" not in str(caught.value) + caught.value.hint
    right = load(None, source="dbname=x", target="http://h", ledger=f"{scheme}://u:p%40secret@h/d?schema=s", environment={})
    assert right.ledger.endswith("schema=s")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (None, "http://h", "the source is missing"),
        ("", "http://h", "the source is missing"),
        ("dbname=x", None, "the target is missing"),
        ("postgresql://u:secret@[h/d", "http://h", "source.url: expected a PostgreSQL connection string"),
        ("mysql://u:secret@h/d", "http://h", "source.url: expected a PostgreSQL connection string"),
        ("postgresql://u:p@secret@h/d", "http://h", "source.url: expected a PostgreSQL connection string"),
        ("postgresql://u:secret/word@h/d", "http://h", "source.url: expected a PostgreSQL connection string"),
        ("postgresql://u:p/secret@h:1/d", "http://h", "source.url: expected a PostgreSQL connection string"),
        ("postgresql://u:se%cret@h/d", "http://h", "a password's @ is written %40"),
        ("dbname=x", "localhost:7432", "target.http: expected a URL such as http://127.0.0.1:7432"),
        ("dbname=x", "ftp://u:secret@h", "target.http: expected a URL such as"),
        ("dbname=x", "http://u:secret@h", "target.http: expected a URL without user and password"),
        ("dbname=x", "http://h:x", "target.http: expected a URL such as"),
    ],
)
def test_addresses_are_checked_without_being_shown(source: str | None, target: str | None, message: str) -> None:
    """An address that is missing says the flag; a wrong one is told without its text, which may hold a password."""
    with pytest.raises(ConfigError) as caught:
        load(None, source=source, target=target, environment={})
    assert message in str(caught.value)
    assert "secret" not in str(caught.value) + caught.value.hint
    if "missing" in message:
        assert "--source postgresql://" in caught.value.hint or "--target http://" in caught.value.hint


@pytest.mark.parametrize("grpc", ["http://h:50051", "h", "h:x", "h:70000"])
def test_the_grpc_address_is_host_and_port(written, grpc: str) -> None:
    """A URL or a bare host as gRPC address is told."""
    with pytest.raises(ConfigError, match=r"target\.grpc: expected host:port"):
        load(written(f"source: dbname=x\ntarget: {{http: 'http://h', grpc: '{grpc}'}}\n"))


def test_a_limit_beyond_the_capacity_is_told(written) -> None:
    """A space filled beyond the server's capacity loses rows in silence."""
    with pytest.raises(ConfigError, match="target: expected a `limit` of at most `capacity`"):
        load(written("source: dbname=x\ntarget: {http: 'http://h', limit: 100001}\n"))


def test_values_from_the_environment_are_not_shown(written) -> None:
    """A variable may hold a secret that was put at the wrong key."""
    with pytest.raises(ConfigError) as caught:
        load(written(ADDRESSES + "proof: ${TOKEN}"), environment={"TOKEN": "hidden"})
    assert "proof: expected 'all'" in str(caught.value)
    assert "hidden" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "is not UTF-8"), (b"- a\n", "expected keys with values at the top"), (b"a: \x00", "is not YAML")],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    """What is not UTF-8, not YAML or not keys with values is told by the file's name."""
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(path)
    with pytest.raises(ConfigError, match="there is no configuration file"):
        load(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_every_key_has_a_meaning() -> None:
    """`config --explain` and the README's table are made of the schema: no key without a sentence."""
    known = list(keys(Config))
    assert {"source.url", "tables.<name>.columns.include", "target.api_key"} <= {key.path for key in known}
    assert [key.path for key in known if not key.meaning.endswith(".")] == []
    assert [key.path for key in known if key.default is None] == ["source", "source.url", "target", "target.http"]


def test_explain_finds_keys_and_their_parts() -> None:
    """A section is explained with its keys, a table's key under any table's name; a misspelt one names the nearest."""
    assert [key.path for key in explain(Config, "snapshot")] == [
        "snapshot",
        "snapshot.workers",
        "snapshot.chunk_rows",
        "snapshot.order",
    ]
    assert explain(Config, "tables.users.space")[0].kind == "text"
    assert explain(Config, "tables.users.confidence")[0].default == "verified"
    with pytest.raises(ConfigError) as caught:
        explain(Config, "snapshot.worker")
    assert "'snapshot.workers'" in caught.value.hint


def test_a_ledgers_password_is_left_out_wherever_it_stands() -> None:
    """Before the host, with whatever characters, or among the options, with every name that a secret has; the rest stays."""
    from bridge.config import without_password
    from bridge.postgres import SECRETS

    assert without_password("postgresql://u:x@h/d?schema=s&password=x") == "postgresql://u@h/d?schema=s"
    assert without_password("postgresql://h/d?password=x") == "postgresql://h/d"
    assert without_password("postgresql://h/d?%70assword=x&sslmode=require") == "postgresql://h/d?sslmode=require"
    for name in SECRETS:
        assert (
            without_password(f"postgresql://u@h/d?sslmode=require&{name}=x&schema=s")
            == "postgresql://u@h/d?sslmode=require&schema=s"
        )
    for password in ("x#y", "x@y", "x:y", "x?y", "%78"):
        assert (
            without_password(f"postgresql://u:{password}@h:1,[::1]:2/d?schema=a@b") == "postgresql://u@h:1,[::1]:2/d?schema=a@b"
        )
    assert without_password("postgresql://u@[::1]:5432/d?schema=a:b@c") == "postgresql://u@[::1]:5432/d?schema=a:b@c"
    assert without_password("shop.db") == "shop.db"
