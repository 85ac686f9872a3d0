"""The section `cutover` of the configuration: what the gates ask for, and when a table's reads go back by themselves."""

from __future__ import annotations

from pydantic import Field

from bridge.config_sections import SIZE, Section, size_of
from bridge.gates import Thresholds
from bridge.returning import Budget


class Cutover(Section):
    """When reads may move to Engram, and when they go back."""

    max_lag: str = Field(default="16MB", pattern=SIZE, description="WAL that the proven position may be behind, such as 16MB.")
    max_heartbeat: float = Field(
        default=2.0, gt=0, description="Seconds that the heartbeat's p99 may take through the whole path."
    )
    steady: float = Field(
        default=300.0, ge=0, description="Seconds that lag, heartbeat and the target's start must have been good for."
    )
    max_silence: float = Field(default=60.0, gt=0, description="Seconds for which PostgreSQL may send nothing.")
    min_slot_time: float = Field(default=14400.0, ge=0, description="Seconds that must be left until the slot is lost.")
    min_proof: float = Field(default=1.0, gt=0, le=1, description="Share of a table's rows proven since the target's last start.")
    max_pending_edges: int = Field(default=0, ge=0, description="Rows of a table that may point at parents which are not there.")
    max_validation_age: float = Field(default=86400.0, gt=0, description="Seconds after which a clean validation is too old.")
    min_sample: int = Field(default=1000, ge=1, description="Rows of a table that it must have compared, or all of them.")
    min_shadow_reads: int = Field(
        default=1000, ge=0, description="Reads of a table that must have been compared since the last mismatch."
    )
    max_target_p99: float = Field(default=0.1, gt=0, description="Seconds that Engram's own answers may take (p99).")
    max_failed_share: float = Field(default=0.01, ge=0, le=1, description="Share of reads at Engram that may have failed.")
    max_round_age: float | None = Field(
        default=None, gt=0, description="Seconds since a whole round of reconciliation began, at most; by default none is asked."
    )
    automatic_return: bool = Field(default=True, description="Take a table back to PostgreSQL when its reads go wrong.")
    return_window: float = Field(default=10.0, ge=2, le=300, description="Seconds over which that is judged.")
    return_reads: int = Field(default=20, ge=1, description="Reads in them below which it is not judged.")
    return_failed_share: float = Field(default=0.1, ge=0, le=1, description="Share of them that may fail at Engram.")
    return_p99: float = Field(default=1.0, gt=0, description="Seconds that Engram's answers may take then (p99).")
    return_mismatches: int = Field(default=0, ge=0, description="Mismatches that may be found in them.")

    def thresholds(self) -> Thresholds:
        """The same for the gates, which know no configuration."""
        return Thresholds(
            max_lag_bytes=size_of(self.max_lag),
            max_heartbeat=self.max_heartbeat,
            steady=self.steady,
            max_silence=self.max_silence,
            min_slot_time=self.min_slot_time,
            min_proof=self.min_proof,
            max_pending_edges=self.max_pending_edges,
            max_validation_age=self.max_validation_age,
            min_sample=self.min_sample,
            min_shadow_reads=self.min_shadow_reads,
            max_target_p99=self.max_target_p99,
            max_failed_share=self.max_failed_share,
            max_round_age=self.max_round_age,
        )

    def budget(self) -> Budget | None:
        """How much may go wrong; None when tables are not to go back by themselves."""
        if not self.automatic_return:
            return None
        return Budget(
            window=self.return_window,
            least=self.return_reads,
            failed_share=self.return_failed_share,
            p99_ms=1000 * self.return_p99,
            mismatches=self.return_mismatches,
        )
