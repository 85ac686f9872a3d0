"""HTTP as the server takes it, with an end: a request that is longer than any that is answered is not kept to its end.

uvicorn's own protocol keeps a line, a header or a body as long as it comes, before anybody is asked for a token.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST = 1 << 20
"""Bytes of a request: its line, its headers, its body and what comes behind that."""


class Bounded(HttpToolsProtocol):
    """Counts what was received since the last request was complete."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._taken = 0

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.transport.is_closing():
            return
        self._taken += len(data)
        if self._taken <= LONGEST:
            super().data_received(data)
        elif self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The request is too long.")
        else:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._taken = 0
        super().on_message_complete()
