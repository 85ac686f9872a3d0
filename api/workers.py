"""Several processes that answer on one socket."""

from __future__ import annotations

import os
import signal

from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """uvicorn's supervisor, but SIGHUP is theirs: each reads its configuration again, and none is restarted for it."""

    def handle_hup(self) -> None:
        """Pass it on."""
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGHUP)
