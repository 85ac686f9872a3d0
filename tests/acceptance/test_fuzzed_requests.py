"""Whatever is asked, within and beyond what the OpenAPI document describes: no 5xx, and no answer that it does not describe."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable as NoneToDraw
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from bridge.reads import Mode
from tests.conftest import Server, fresh_database
from tests.reading import route
from tests.rig import Rig

EXAMPLES = 40
ADDRESS = "http://127.0.0.1"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

SHOP = """
create table users (id int primary key, name text, bio text, joined timestamptz default now());
insert into users select g, 'user ' || g, 'likes ' || g, now() from generate_series(1, 30) g;
create table pairs (a text, b text, owner int references users, primary key (a, b));
insert into pairs values ('x_y', '100%', 1), ('a/b', 'é 🎈', 2), ('', ',', 3), ('..', '.', null);
create table stamps (at timestamptz primary key, mark numeric);
insert into stamps values ('2005-12-28 00:53:10+00', 1.50);
"""
TABLES = {
    "users": ("1", "2", "30", "007", "31", "1e3", "99999999999999999999", "x"),
    "pairs": ("x%5Fy_100%25", "a/b_é 🎈", "_,", "a/b_é 🎈", "x", ".._.", "a_b_c"),
    "stamps": ("2005-12-28 00:53:10+00", "2005-12-28", "infinity", "now"),
    "public.users": ("5",),
}
"""Tables that there are, with keys that have rows, and keys that nearly have."""


@pytest.fixture(scope="module")
def served(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The OpenAPI of an application over a rig whose bridge runs and whose tables are served by Engram."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    for database in fresh_database(postgres):
        rig = Rig(folder, database)
        try:
            rig.sql(*SHOP.strip().split(";\n"))
            rig.start()
            rig.wait_until_proven()
            for label in ("public.users", "public.pairs", "public.stamps"):
                route(rig.ledger_location, label, Mode.ENGRAM, 60)
            app = create_app(rig.config)
            schema = schemathesis.openapi.from_dict(app.openapi())
            schema.app = app
            yield schema
        finally:
            shutdown_lifespans()
            rig.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by `random`, too
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_breaks_anything(served: Any, mode: GenerationMode) -> None:
    """Most of the requests ask for what there is, or nearly is."""
    asked: Counter[int] = Counter()
    for found in served.get_all_operations():
        operation = found.ok()

        @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            aim(case)
            answer = case.call(base_url=ADDRESS)
            asked[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == ["application/problem+json"]

        try:
            ask()
        except NoneToDraw:
            continue  # there is nothing that this operation could be asked wrongly
    assert mode is GenerationMode.NEGATIVE or asked[200] > 20, asked
    assert sum(count for status, count in asked.items() if status >= 400) > 50, asked


def aim(case: schemathesis.Case) -> None:
    """Lead a request to a table and a key by what it is itself, so that it is led the same way each time."""
    path = case.path_parameters
    chance = zlib.crc32(repr((path, case.query, case.headers)).encode(errors="replace"))
    if not isinstance(path, dict) or "table" not in path or chance % 4 == 0:
        return
    path["table"] = table = list(TABLES)[chance // 4 % len(TABLES)]
    if "key" in path:
        keys = TABLES[table]
        path["key"] = keys[chance // 16 % len(keys)]
