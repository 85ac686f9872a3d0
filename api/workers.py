"""Several processes that answer on one socket."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from api.reloading import Again, checked, refused
from bridge.config import Config
from bridge.errors import BridgeError


class Workers(Multiprocess):
    """uvicorn's supervisor, but SIGHUP is theirs: each reads its configuration again, and none is restarted for it.

    The supervisor follows, too: whoever is started later, since another one died, begins with the newest configuration that had
    no mistake, its tokens and its certificate, whatever the file says by then.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket],
        settings: Config,
        again: Again,
        application: Callable[[Config], Any],
    ) -> None:
        super().__init__(config, sockets)
        self._settings = settings
        self._again = again
        self._application = application
        self._behind: list[Process] = []

    def handle_hup(self) -> None:
        """Read the configuration again, and have all follow. A mistake in it is logged, and changes nothing for anybody."""
        try:
            merged = checked(self._settings, self._again.read(), self._again)
        except (BridgeError, OSError) as error:
            refused(error)
            return
        self._settings = merged
        self.config.app = partial(self._application, merged)
        self.config.ssl_certfile, self.config.ssl_keyfile = merged.serve.tls_certificate, merged.serve.tls_key
        self._behind = list(self.processes)

    def keep_subprocess_alive(self) -> None:
        """See Multiprocess. Then pass SIGHUP on to whoever can follow it: it would end one that is still being started."""
        super().keep_subprocess_alive()
        if self.should_exit.is_set():
            return
        self._behind = [process for process in self._behind if process in self.processes and not self._told(process)]

    def _told(self, process: Process) -> bool:
        if process.pid is None or not process.is_ready(self.config.timeout_worker_healthcheck) or process.exitcode is not None:
            return False
        os.kill(process.pid, signal.SIGHUP)
        return True
