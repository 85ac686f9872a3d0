"""A removed table that stays in a publication of somebody else is said once, not at each start."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import alterations
from bridge.acts import Acts
from bridge.alterations import Alterations
from bridge.ledger import Generations, Ledger


def test_it_is_said_once_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Over new starts too; another table is said when it comes, and one that came back and is left again as well."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    config: Any = SimpleNamespace(source=SimpleNamespace(url="nowhere"))
    keeper: Any = SimpleNamespace(publication="theirs")
    left: list[tuple[str, str]] = []
    monkeypatch.setattr(alterations, "connect", lambda *_args, **_named: nullcontext())
    monkeypatch.setattr(alterations, "leave_publication", lambda *_args: left)

    def said(*tables: str) -> int:
        left[:] = [(table, f"alter publication theirs drop table {table};") for table in tables]
        caplog.clear()
        parts: Any = Acts(config, ledger, None, None, None, keeper)  # type: ignore[arg-type]  # the others are not asked
        Alterations(parts, settled=lambda: True).leave()
        return caplog.text.count("a removed table is still published")

    with caplog.at_level(logging.WARNING):
        assert said() == 0
        for label in ("public.notes", "public.tags"):
            Generations(ledger).remove(label, keep=False, reason="removed")
        assert said("public.notes") == 1
        assert said("public.notes") == 0
        assert said("public.notes", "public.tags") == 1
        assert said("public.tags") == 0
        assert said("public.notes", "public.tags") == 1
    ledger.close()
