"""Search and references through the proxy: what is found against an exact search over clean vectors, and how long they take.

A bridge carries texts with a real model into an Engram; the application of the proxy is asked without a socket. Exact is the
cosine of the query's own vector with those of all texts. The bare figures are one recall of Engram alone, with the same vector,
and one GET of a row through the same application.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import yaml

from api.app import create_app
from api.recall import MOST, cue
from bench.database import execute, server
from bench.embedding import texts_of
from bench.figures import Figure, Say, Scale
from bench.ingest import engram
from bench.paraphrases import QUESTIONS
from bridge import config as configuration
from bridge.config import Config
from bridge.embedding.encoder import Encoder
from bridge.embedding.identity import clean_query
from bridge.ledger import Ledger, Serving
from bridge.ledger.place import ledger_exists
from bridge.reads import Mode, Route
from bridge.wiring import open_embedders

ROWS = 400
FIRST = 10
ALIKE = 0.002
"""Scores that differ by less are the same: which of two equal rows is the tenth means nothing."""

GOAL = 95
PATIENCE = 600.0
MODELS = ("hashing", "minilm")
LABELS = ("public.texts", "public.shelves")


def run(scale: Scale, say: Say) -> list[Figure]:
    """recall@10 and the times, for both models."""
    figures = []
    rows = scale.of(ROWS, least=50)
    with server() as postgres, engram(scale) as address:
        for model in MODELS:
            say(f"a table of {rows} texts is carried with {model}")
            execute(postgres.url(), f"create database search_{model}")
            url = postgres.url(f"search_{model}")
            texts = texts_of(rows, 0)
            _fill(url, texts)
            with _carried(url, model, {"http": address.http, "grpc": address.grpc}) as settings:
                say(f"searches with {model}")
                figures += asyncio.run(_measured(settings, model, texts, scale.times(3)))
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("select pg_drop_replication_slot(%s)", (f"bench_{model}",))
    return figures


async def _measured(settings: Config, model: str, texts: list[str], times: int) -> list[Figure]:
    embedders = open_embedders(settings)
    encoder = embedders.load(model)
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        httpx.AsyncClient(base_url=settings.target.http) as bare,
    ):
        while (await client.get("/v1/search?q=warm")).headers["x-served-by"] != "engram":
            await asyncio.sleep(0.5)  # the model is being loaded
        found = [await _hits(client, encoder, texts, question) for question, _text in QUESTIONS]
        queries = {question: cue(clean_query(encoder.encode([question]).vectors[0])) for question, _text in QUESTIONS}
        space = f"{settings.target.space_prefix}texts"
        searching: tuple[list[float], list[float]] = ([], [])
        referring: tuple[list[float], list[float]] = ([], [])
        for _ in range(times):
            searching[0].append(await _each(queries, lambda question: _search(client, question)))
            searching[1].append(await _each(queries, lambda question: _recall(bare, space, queries[question])))
            referring[0].append(
                await _each(range(1, 11), lambda shelf: _get(client, f"/v1/shelves/{shelf}/references?direction=in"))
            )
            referring[1].append(await _each(range(1, 11), lambda shelf: _get(client, f"/v1/shelves/{shelf}")))
    embedders.close()
    recall = 100 * sum(found) / len(found)
    notes = {"rows": len(texts), "questions": len(QUESTIONS), "model": encoder.identity}
    what = f"rows that search finds with {model} against the first {FIRST} of an exact search"
    return [
        Figure(
            f"search-recall-{model}", what, f"% recall@{FIRST}", [recall], [100.0], f">= {GOAL} %", recall >= GOAL, notes=notes
        ),
        _timed(f"search-{model}", "p50 of a search against one recall of Engram alone", searching, notes),
        _timed(f"references-{model}", "p50 of a page of references against one row", referring, notes),
    ]


def _timed(name: str, what: str, samples: tuple[list[float], list[float]], notes: dict[str, Any]) -> Figure:
    return Figure(name, what, "ms", samples[0], samples[1], "stated", met=True, notes=notes)


async def _hits(client: httpx.AsyncClient, encoder: Encoder, texts: list[str], question: str) -> float:
    """How many of the exact search's first ones are found, 0…1."""
    query = encoder.encode([question]).vectors[0]
    rows = encoder.encode([f"body: {text}" for text in texts]).vectors
    cosines = rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
    tenth = float(np.sort(cosines)[-FIRST])
    answer = await _search(client, question)
    good = sum(float(cosines[int(one["key"]) - 1]) >= tenth - ALIKE for one in answer)
    return min(good, FIRST) / FIRST


async def _search(client: httpx.AsyncClient, question: str) -> list[Any]:
    answer = await client.get("/v1/search", params={"q": question, "table": "texts", "limit": FIRST})
    if answer.headers.get("x-served-by") != "engram":
        raise RuntimeError(f"a search was not answered by Engram: {dict(answer.headers)} {answer.text[:500]}")
    found: list[Any] = answer.json()["results"]
    return found


async def _recall(client: httpx.AsyncClient, space: str, vector: str) -> None:
    asked = {"embedding": vector, "max_results": str(MOST), "threshold": "0.0"}
    (await client.get("/api/v1/memories/recall", params=asked, headers={"X-Memory-Space": space})).raise_for_status()


async def _get(client: httpx.AsyncClient, path: str) -> None:
    (await client.get(path)).raise_for_status()


async def _each(asked: Any, ask: Callable[[Any], Awaitable[Any]]) -> float:
    """The median of the milliseconds."""
    took = []
    for one in asked:
        began = time.perf_counter()
        await ask(one)
        took.append((time.perf_counter() - began) * 1000)
    return float(np.median(took))


def _fill(url: str, texts: list[str]) -> None:
    execute(url, "create table shelves (id int primary key, name text)")
    execute(url, "insert into shelves select g, 'shelf ' || g from generate_series(1, 10) g")
    execute(url, "create table texts (id int primary key, body text, shelf int references shelves)")
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        rows = [(number, text, number % 10 + 1) for number, text in enumerate(texts, 1)]
        cursor.executemany("insert into texts values (%s, %s, %s)", rows)


@contextlib.contextmanager
def _carried(url: str, model: str, target: dict[str, str]) -> Iterator[Config]:
    """A bridge in a process of its own, until everything can be searched; reads go to Engram."""
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as name:
        folder = Path(name)
        document = {
            "source": {"url": url, "slot": f"bench_{model}", "publication": f"bench_{model}"},
            "target": {**target, "space_prefix": f"s{time.time_ns()}-"},
            "ledger": str(folder / "ledger.db"),
            "embedding": {"model": model},
            # What is measured are answers, not what a machine that is busy with measuring would make the proxy do.
            "cutover": {"automatic_return": False},
            "serve": {"max_staleness": 600, "engram_deadline": 30},
        }
        file = folder / "bridge.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        settings = configuration.load(file)
        with (folder / "bridge.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "bridge", "run", "--config", str(file)], stdout=log, stderr=log)
        try:
            _wait_until_searchable(settings, process, folder / "bridge.log")
            yield settings
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_searchable(settings: Config, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the bridge did not come so far: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        if ledger_exists(settings.ledger):
            with contextlib.closing(Ledger(settings.ledger)) as ledger:
                records = ledger.tables()
                proven = int(ledger.facts().get("proven", 0))
                loaded = [record for record in records if record.state == "loaded" and record.reached <= proven]
                if len(loaded) == len(LABELS) and all(ledger.searchable(record.number) for record in records):
                    for label in LABELS:
                        Serving(ledger).route(
                            label, Route(Mode.ENGRAM, 100), who="bench", verb="advance", detail={"why": "a bench"}
                        )
                    return
        time.sleep(0.2)
