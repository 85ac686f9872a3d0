"""Which model the vectors of a table were made by: the ledger knows, and a start with another one is refused.

Vectors of two models cannot be searched together: a query's vector belongs to one of them. So a table gets another model as a
whole, in spaces of its own beside the old ones (`engram-bridge reshard`), and never row by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from bridge.embedding import Embedders
from bridge.embedding.hashing import HashingEmbedder
from bridge.errors import ConfigError
from bridge.ledger import Ledger
from bridge.mapping import TablePlan

_BEFORE = (HashingEmbedder.name, HashingEmbedder.identity)
"""What embedded the tables of ledgers that say nothing of models: there was no other."""


def model_fact(number: int) -> str:
    """The name of the ledger's fact for a generation of a table: its model's name and identity, as JSON."""
    return f"model:{number}"


def settle_models(ledger: Ledger, plans: Iterable[TablePlan], embedders: Embedders) -> None:
    """Note the model of every plan that is new; refuse those whose memories were embedded by another one.

    To be called before a row of these plans is embedded; idempotent. Raises ConfigError, and what loading a model raises.
    """
    facts = ledger.facts()
    begun = {record.number for record in ledger.generations() if record.state != "new"}
    news = {}
    for plan in plans:
        encoder = embedders.for_table(plan)
        fact = model_fact(plan.number)
        if fact in facts:
            name, identity = json.loads(facts[fact])
        elif plan.number in begun:
            name, identity = _BEFORE
        else:
            name, identity = encoder.embedder.name, encoder.identity
        if identity != encoder.identity:
            raise other_model(plan.table.label, name, identity, encoder.embedder.name, encoder.identity)
        if fact not in facts:
            news[fact] = json.dumps([name, identity])
    if news:
        ledger.put_facts(news)


def other_model(label: str, name: str, identity: str, configured: str, now: str) -> ConfigError:
    """The memories of a table were embedded by another model than the configuration names."""
    said = f"{name} ({identity})" if name == configured else name
    wanted = f"{configured} ({now})" if name == configured else configured
    return ConfigError(
        f"{label} was embedded by {said}, the configuration says {wanted}",
        hint=f"Vectors of two models cannot be searched together. Put the model back (embedding.model, or the table's own); then "
        f"`engram-bridge reshard {label} --model …` fills new spaces with the other one beside the old ones.",
    )
