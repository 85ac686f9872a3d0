"""Which model the vectors of a table were made by: the ledger knows, and a start with another one is refused.

Vectors of two models cannot be searched together: a query's vector belongs to one of them. So a table gets another model as a
whole, in spaces of its own beside the old ones (`engram-bridge reshard`), and never row by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from bridge.embedding import Embedders
from bridge.embedding.hashing import HashingEmbedder
from bridge.errors import ConfigError
from bridge.ledger import Ledger
from bridge.mapping import TablePlan

Made = tuple[str, str]
"""A model's name, for people, and its identity, which is compared."""

_BEFORE: Made = (HashingEmbedder.name, HashingEmbedder.identity)
"""What embedded the tables of ledgers that say nothing of models: there was no other."""


def model_fact(number: int) -> str:
    """The name of the ledger's fact for a generation of a table: its model's name and identity, as JSON."""
    return f"model:{number}"


def made_by(facts: Mapping[str, str], number: int) -> Made:
    """The model that a generation which has begun was embedded by."""
    if model_fact(number) not in facts:
        return _BEFORE
    name, identity = json.loads(facts[model_fact(number)])
    return name, identity


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
        now = (encoder.embedder.name, encoder.identity)
        made = made_by(facts, plan.number) if fact in facts or plan.number in begun else now
        if made[1] != now[1]:
            raise other_model(plan.table.label, made, now)
        if fact not in facts:
            news[fact] = json.dumps(made)
    if news:
        ledger.put_facts(news)


def other_model(label: str, made: Made, now: Made) -> ConfigError:
    """The memories of a table were embedded by another model than the configuration names."""
    (name, identity), (configured, current) = made, now
    said = f"{name} ({identity})" if name == configured else name
    wanted = f"{configured} ({current})" if name == configured else configured
    return ConfigError(
        f"{label} was embedded by {said}, the configuration says {wanted}",
        hint=f"Vectors of two models cannot be searched together. Put the model back (embedding.model, or the table's own); then "
        f"`engram-bridge reshard {label} --model …` fills new spaces with the other one beside the old ones.",
    )
