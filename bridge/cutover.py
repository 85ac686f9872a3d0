"""Moving a table's reads: forward only through open gates, or by force with a reason; back at once; all of it in the audit trail.

The steps are postgres, shadow, engram with a share of the keys, engram with all of them, and at the very end engram-only. What
lets Engram answer more than before needs open gates; everything else, as `back` and a smaller share, needs none.
"""

from __future__ import annotations

import getpass
import os
import platform
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from bridge.certificate import seal
from bridge.errors import CheckFailed, ConfigError
from bridge.gates import Gate, Inputs, Thresholds, closed, of_table, raises
from bridge.ledger import Act, Ledger, Serving
from bridge.lsn import format_lsn
from bridge.readiness import SHADOW_SECONDS, gates_now, newest_validation
from bridge.reads import Mode, Route
from bridge.status import SlotFigures

ALL = 100
AUDITED = 1000
"""Lines of the audit trail that a certificate holds, the newest."""


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
    """Who moves, and what is known when it is done. `slot` is None when PostgreSQL cannot be asked.

    `versions`: of other programs, for a certificate.
    """

    ledger: Ledger
    thresholds: Thresholds
    slot: SlotFigures | None
    who: str
    versions: dict[str, str] = field(default_factory=dict)
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
            noted |= self._through(label, force)
        return Serving(self.ledger).route(label, wanted, who=self.who, verb=verb, detail=noted)

    def _through(self, label: str, force: bool) -> dict[str, Any]:
        """The gates, for the audit trail. Raises GatesClosed."""
        gates = self.known[1]
        shut = closed(gates, label)
        if shut and not force:
            raise GatesClosed(label, shut)
        values = {gate.name: gate.value for gate in of_table(gates, label)}
        return {"gates": values, "closed": [gate.name for gate in shut], "forced": bool(shut)}

    def advance(self, label: str, share: int, *, why: str = "", force: bool = False) -> Act:
        """Engram answers this share of the keys, percent. Raises GatesClosed and ConfigError."""
        if not 1 <= share <= ALL:
            raise ConfigError(f"--share {share} is no share", hint="1 to 100; `engram-bridge cutover back` for none.")
        return self.to(label, Route(Mode.ENGRAM, share), verb="advance", why=why, force=force)

    def complete(
        self, label: str, *, why: str = "", force: bool = False, engram_only: bool = False
    ) -> tuple[Act, dict[str, Any]]:
        """Engram answers all keys of the table, with a certificate; PostgreSQL stays behind every read.

        With `engram_only` it does not any more: the last step, and only for a table that was completed before.
        Gates are asked even where nothing moves: the certificate is about them. Raises GatesClosed and ConfigError.
        """
        now = self.route(label)
        if engram_only and now != Route(Mode.ENGRAM, ALL, now.since) and now.mode is not Mode.ENGRAM_ONLY:
            raise ConfigError(
                f"{label} is not completed: its reads go {now.mode.value} {now.share} %",
                hint=f"engram-bridge cutover complete {label} first, and let it be so for a while.",
            )
        if force and not why.strip():
            raise ConfigError("--force needs a reason", hint="--why says why, and stays in the audit trail.")
        shut = self._through(label, force)["closed"]
        wanted = Route(Mode.ENGRAM_ONLY if engram_only else Mode.ENGRAM, ALL)
        document = seal(self._evidence(label, now, wanted, why, shut))
        noted = {"why": why, "certificate": document["sha256"], **self._through(label, force)}
        return Serving(self.ledger).route(label, wanted, who=self.who, verb="complete", detail=noted), document

    def _evidence(self, label: str, now: Route, wanted: Route, why: str, shut: list[str]) -> dict[str, Any]:
        inputs, gates = self.known
        serving, facts = Serving(self.ledger), self.ledger.facts()
        validation = newest_validation(serving, label)
        since = inputs.now - SHADOW_SECONDS
        return {
            "table": label,
            "made": time.time(),
            "who": self.who,
            "why": why,
            "closed": shut,
            "route": {
                "from": {"mode": now.mode.value, "share": now.share},
                "to": {"mode": wanted.mode.value, "share": wanted.share},
            },
            "source": {name: facts.get(name) for name in ("system_identifier", "timeline", "database", "slot")},
            "position": {
                "proven": format_lsn(int(facts.get("proven", 0))),
                "flushed": format_lsn(self.slot.flush_lsn) if self.slot is not None else None,
            },
            "target": {"epoch": inputs.epoch, "seen": inputs.epoch_seen},
            "ledger": facts.get("ledger_id"),
            "gates": [asdict(gate) for gate in of_table(gates, label)],
            "validation": None
            if validation is None or validation.result is None
            else {
                "number": validation.number,
                "asked": validation.asked,
                "who": validation.who,
                "ended": validation.ended,
                "table": validation.result["tables"][label],
                "result": {name: validation.result[name] for name in ("order", "frontier", "checks", "version", "epoch")},
            },
            "reads": {"since": since, "counts": serving.counts(since=since).get(label, {})},
            "audit": [asdict(act) for act in serving.audit(AUDITED, label)],
            "versions": self.versions | {"engram-bridge": metadata.version("engram-bridge"), "python": platform.python_version()},
        }

    def explain(self, label: str, key: str | None, why: str) -> int:
        """Settle a mismatch that was explained, or all of a table; answers how many. Raises ConfigError."""
        if not why.strip():
            raise ConfigError("a mismatch is settled by a reason", hint="--why says what it was, and stays in the audit trail.")
        serving = Serving(self.ledger)
        known = [found for found in serving.mismatches(label) if key in (None, found.key)]
        if not known:
            raise ConfigError(f"{label}: there is no such mismatch", hint="See `engram-bridge cutover mismatches`.")
        serving.settle(label, key)
        settled = [{"key": found.key, "columns": list(found.columns), "times": found.times} for found in known[:AUDITED]]
        serving.note(who=self.who, verb="explain", label=label, detail={"why": why, "settled": settled})
        return len(known)

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
