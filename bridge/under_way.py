"""What is under way with whole tables, for `status`: asked, refused, being filled, being forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.ledger import FILLING, RETIRED, Generations, Ledger
from bridge.making import MIXED, OFFER, making_fact


@dataclass(frozen=True, slots=True)
class UnderWay:
    """One table and what is done with it. `what`: asked, refused, mapping, filling, forgetting; `sentence` says how far it is."""

    table: str
    what: str
    sentence: str


def under_way(ledger: Ledger) -> list[UnderWay]:
    """Everything that was asked of whole tables and is not over, and what was refused since."""
    found = []
    for asked in Generations(ledger).asked():
        if asked.refused is not None:
            found.append(UnderWay(asked.label, "refused", f"{asked.verb} was refused: {asked.refused}"))
        else:
            found.append(UnderWay(asked.label, "asked", f"{asked.verb} is asked for"))
    facts = ledger.facts()
    mixed = [record.label for record in ledger.tables() if facts.get(making_fact(record.number)) == MIXED]
    found += [UnderWay(label, "mapping", OFFER.format(label)) for label in mixed]
    for record in ledger.generations(FILLING):
        chunks = ledger.chunks(record.number)
        done = [chunk for chunk in chunks if chunk.done]
        rows = sum(chunk.rows for chunk in done)
        progress = f"{len(done)} of {len(chunks)} chunks, {rows:,} rows" if chunks else "about to be read"
        found.append(UnderWay(record.label, "filling", f"fills {', '.join(record.spaces)}: {progress}"))
    retired = ledger.generations(RETIRED)
    live = ledger.live_counts() if retired else {}
    for record in retired:
        left = sum(count for (number, _shard), count in live.items() if number == record.number)
        found.append(UnderWay(record.label, "forgetting", f"{left:,} memories are left in {', '.join(record.spaces)}"))
    return found
