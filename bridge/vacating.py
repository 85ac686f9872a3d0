"""A retired generation leaves a space: its memories are forgotten, proven gone, and struck from the ledger, a page at a time.

The ledger's keys come first; then the list pages are gone through for what bears the table's stamp and is not in the ledger, such
as a write that a killed run did not record. What another table has in the same space stays.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from bridge.forgetting import existing, forget_all
from bridge.works import Vacation
from bridge.workshop import Workshop

PAGE = 500


def vacate_page(shop: Workshop, space: str, job: Vacation, swept: Callable[[int], None]) -> None:
    """Forget the next page. Raises Transient; then nothing is lost by doing it again. `swept`: how many memories are gone."""
    page = list(islice(shop.ledger.scan(job.number, job.shard), PAGE))
    if page:
        alive = [key for key, entry in page if entry.live]
        left = forget_all(shop, space, [job.prefix + key for key in alive])
        gone = [key for key, _entry in page if job.prefix + key not in left]
        shop.erase(job.number, gone)
        job.found, job.left = len(page), len(left)
        swept(len(alive) - len(left))
        return
    strays = stamped(shop, space, job.label)
    job.found, job.left = len(strays), len(forget_all(shop, space, strays))


def stamped(shop: Workshop, space: str, label: str) -> list[str]:
    """The memories of this space that bear our stamp for a table, by its list pages, which may show some that are gone."""
    found = []
    for stored in shop.target.scan(space):
        stamp = stored.stamp()
        if stamp is not None and stamp.table == label and (stamp.ledger == shop.ledger_id or stamp.ledger in shop.adopted):
            found.append(stored.memory_id)
    return existing(shop, space, found)
