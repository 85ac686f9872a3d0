"""Connections to a server that may hang: whoever does not wait for an answer any more does not wait for the server to see that.

The driver would ask the server to cancel, and wait up to ten seconds for that. Each statement ends by its own time limit there.
"""

from __future__ import annotations

from typing import Any

import psycopg


class Abandoned(psycopg.AsyncConnection[Any]):
    """A connection that is closed when somebody leaves it in the middle of a statement."""

    async def cancel_safe(self, **_limit: float) -> None:
        """See psycopg: asked when a task that waits for an answer is cancelled."""
        self.pgconn.finish()
