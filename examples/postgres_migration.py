"""Each row of `SELECT id, content, created_at, metadata FROM documents` becomes one memory in Engram.

    python examples/postgres_migration.py postgresql://user@host/database http://host:7432

What `migrate-postgresql --tables documents --text-columns documents:content` does, from Python: the rows are read at one
snapshot, embedded by their own text, written, and each is read back. `metadata` stays a structure under its own name. Run it
again and only what has changed is written.
"""

from __future__ import annotations

import sys
import threading

from rich.console import Console

from bridge.config import load
from bridge.errors import BridgeError
from bridge.migration import conduct
from bridge.migration.attempt import Attempt, Settings
from bridge.migration.order import Order
from bridge.report import render_text


def migrate(source: str, target: str, grpc: str = "", ledger: str = "documents.db") -> int:
    """Migrate the table `documents`; answers the exit code of `migrate-postgresql`."""
    config = load(None, source=source, target=target, ledger=ledger)
    if grpc:
        config = config.model_copy(update={"target": config.target.model_copy(update={"grpc": grpc})})
    order = Order(tables=("documents",), texts={"documents": ("content",)}, confidence="0.95")
    attempt = conduct.begin(order, config, Settings(workers=4, batch=1000), Console(stderr=True))
    assert isinstance(attempt, Attempt), "only a checkpoint file can say that all of it is done already"
    nobody_interrupts = threading.Event()
    try:
        attempt.run(nobody_interrupts)
        document = conduct.report(attempt, validate=True, ending=nobody_interrupts)
    finally:
        attempt.carrying.close()
    assert document is not None, "nobody interrupts"
    print(render_text(document))
    return document["exit_code"]


if __name__ == "__main__":
    try:
        sys.exit(migrate(*sys.argv[1:]))
    except BridgeError as error:
        sys.exit(f"{error}\n{error.hint}")
