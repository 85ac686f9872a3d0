"""Moving a table's reads: forward only through open gates, or by force with a reason; back at once; all of it in the audit trail.

The steps are postgres, shadow, engram with a share of the keys, engram with all of them, and at the very end engram-only. What
lets Engram answer more than before needs open gates; everything else, as `back` and a smaller share, needs none.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import CheckFailed, ConfigError
from bridge.gates import Gate, Inputs, Thresholds, closed, of_table, raises
from bridge.ledger import Act, Ledger, Serving
from bridge.readiness import gates_now
from bridge.reads import Mode, Route
from bridge.status import SlotFigures

ALL = 100


class GatesClosed(CheckFailed):
    """Gates are closed, so the reads stay where they are. `gates` are those that are closed."""

    def __init__(self, label: str, gates: Sequence[Gate]) -> None:
        names = ", ".join(gate.name for gate in gates)
        super().__init__(
            f"{label}: {len(gates)} gate(s) are closed: {names}",
            hint="`engram-bridge cutover status` says what to do about each; --force --why REASON goes on all the same.",
        )
        self.gates = list(gates)


@dataclass(slots=True)
class Moves:
    """Who moves, and what is known when it is done. `slot` is None when PostgreSQL cannot be asked."""

    ledger: Ledger
    thresholds: Thresholds
    slot: SlotFigures | None
    who: str
    _known: tuple[Inputs, list[Gate]] | None = field(default=None, repr=False)

    @property
    def known(self) -> tuple[Inputs, list[Gate]]:
        """Figures and gates, read once."""
        if self._known is None:
            self._known = gates_now(self.ledger, self.slot, self.thresholds)
        return self._known

    def route(self, label: str) -> Route:
        """Where a table's reads go now."""
        return Serving(self.ledger).routes().get(label, Route())

    def to(self, label: str, wanted: Route, *, verb: str, why: str = "", force: bool = False, **detail: Any) -> Act:
        """Move. Raises GatesClosed, and ConfigError for force without a reason."""
        if force and not why.strip():
            raise ConfigError("--force needs a reason", hint="--why says why, and stays in the audit trail.")
        noted: dict[str, Any] = {"why": why, **detail}
        if raises(self.route(label), wanted):
            gates = self.known[1]
            shut = closed(gates, label)
            if shut and not force:
                raise GatesClosed(label, shut)
            noted["gates"] = {gate.name: gate.value for gate in of_table(gates, label)}
            noted["closed"] = [gate.name for gate in shut]
            noted["forced"] = bool(shut)
        return Serving(self.ledger).route(label, wanted, who=self.who, verb=verb, detail=noted)

    def advance(self, label: str, share: int, *, why: str = "", force: bool = False) -> Act:
        """Engram answers this share of the keys, percent. Raises GatesClosed and ConfigError."""
        if not 1 <= share <= ALL:
            raise ConfigError(f"--share {share} is no share", hint="1 to 100; `engram-bridge cutover back` for none.")
        return self.to(label, Route(Mode.ENGRAM, share), verb="advance", why=why, force=force)

    def shadow(self, label: str, share: int = ALL, *, why: str = "") -> Act:
        """PostgreSQL answers everything, and this share of the keys is compared with Engram."""
        if not 1 <= share <= ALL:
            raise ConfigError(f"--share {share} is no share", hint="1 to 100, percent of the keys that are compared.")
        return self.to(label, Route(Mode.SHADOW, share), verb="shadow", why=why)

    def back(self, label: str, *, why: str = "") -> Act:
        """PostgreSQL answers everything, at once; no gate is asked."""
        return Serving(self.ledger).route(label, Route(), who=self.who, verb="back", detail={"why": why})


def me() -> str:
    """Who works here, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
