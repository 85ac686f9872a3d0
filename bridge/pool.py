"""The threads that work the lanes, and the bound on what waits in them.

A lane is worked by one thread at a time, any thread. A target or source that cannot be had makes its lane wait with backoff; an
error that waiting does not mend ends the run. What comes by the stream and what comes in the background (snapshot, repairs) is
bounded apart, so that neither can keep the other out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import wait_exponential_jitter
from tenacity.wait import wait_base

from bridge.errors import BridgeError, Transient, defect
from bridge.lane import Lane
from bridge.mapping import TablePlan
from bridge.memories import Key
from bridge.works import Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

MAX_KEYS = 20_000
READ_AHEAD = 6_000
MAX_SIZE = 64 * 1024 * 1024
"""Keys that may wait for the stream and for the background, and characters of rows for each: a row read late is seldom stale."""

POLL = 0.2

STOP_SECONDS = 15.0
"""How long an orderly end waits for steps that are being done."""

FAIR_TURN = 4
"""Every how many turns the lane that has waited longest has its own, whatever waits in others."""

TELL_AGAIN = 30.0
"""Seconds after which a trouble that lasts is told again; all lanes have the same one, so it is told once for all."""


@dataclass(slots=True)
class _State:
    """A lane's place in the pool. `until`: it waits for the target or the source; `failures` in a row."""

    lane: Lane
    busy: bool = False
    until: float = 0.0
    failures: int = 0
    turn: int = 0


@dataclass(slots=True)
class _Backoff:
    """What tenacity's wait functions look at."""

    attempt_number: int
    outcome: None = None


class LanePool:
    """All lanes of a bridge, by space."""

    def __init__(self, shop: Workshop, *, threads: int = 4, wait: wait_base | None = None) -> None:
        self._shop = shop
        shop.recorder.refresh = self.refresh
        self._threads = threads
        self._wait = wait or wait_exponential_jitter(multiplier=0.05, max=3.0, jitter=0.2)
        self._condition = threading.Condition()
        self._states: dict[str, _State] = {}
        self._turns = 0
        self._running: list[threading.Thread] = []
        self._ending = False
        self._paused = False
        self.reload: Callable[[TablePlan], None] = lambda _plan: None
        """Told of a keyless table whose rows are to be read again: none of them can be read by its key."""
        self.failure: BridgeError | None = None
        self.trouble: str | None = None
        self._told = 0.0

    @property
    def lanes(self) -> list[Lane]:
        """All lanes."""
        return [state.lane for state in self._states.values()]

    def add(self, lane: Lane) -> None:
        """A lane of a space that is not there yet."""
        with self._condition:
            self._states = self._states | {lane.space: _State(lane)}  # others read it without asking

    def lane(self, space: str) -> Lane:
        """The lane of that space."""
        return self._states[space].lane

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._threads):
            thread = threading.Thread(target=self._run, name=f"lane-{number}", daemon=True)
            thread.start()
            self._running.append(thread)

    def stop(self, timeout: float = STOP_SECONDS) -> bool:
        """End after the steps that are being done; what waits stays where it came from.

        False when a step did not end within `timeout` seconds: the target hangs, and what was sent to it is in doubt.
        """
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._running:
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._running)

    def has_room(self, *, background: bool) -> bool:
        """Whether more may be put."""
        loads = [state.lane.load for state in self._states.values()]
        keys = sum(load.background if background else load.stream for load in loads)
        size = sum(load.size for load in loads)
        return keys < (READ_AHEAD if background else MAX_KEYS) and size < (MAX_SIZE if background else 2 * MAX_SIZE)

    def wait_for_room(self, *, background: bool, timeout: float) -> bool:
        """Wait until more may be put; False when it may not after `timeout` seconds. Raises what ended the pool."""
        deadline = time.monotonic() + timeout
        with self._condition:
            while not self.has_room(background=background):
                self._raise()
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(min(left, POLL))
        self._raise()
        return True

    def put(self, work: Work) -> None:
        """Put a work in the lane of its key. Never blocks: callers that can wait ask for room first."""
        self._states[work.plan.space_of(work.key)].lane.put(work)

    def pause(self, *, wanted: bool) -> None:
        """Begin no step from now on, or go on. What comes waits in the lanes, and beyond their bound in PostgreSQL's WAL."""
        with self._condition:
            if wanted != self._paused:
                self._paused = wanted
                logger.info("paused: nothing is written until it is resumed" if wanted else "resumed")
                self._condition.notify_all()

    def hurry(self) -> None:
        """The target answers again: lanes that wait because it did not need not wait for their time."""
        with self._condition:
            for state in self._states.values():
                state.until = 0.0
            self._condition.notify_all()

    @property
    def paused(self) -> bool:
        """Nothing is written, because somebody has asked for that."""
        return self._paused

    def stopped(self, table: int) -> bool:
        """The table is parked as a whole."""
        return table in self._shop.stopped

    def wake(self) -> None:
        """Something was put. A lane at work looks again by itself when its step has ended: nobody is woken for that."""
        with self._condition:
            if any(not state.busy and state.lane.due() for state in self._states.values()):
                self._condition.notify_all()

    def refresh(self, keys: list[Key]) -> None:
        """Put these keys to be read again."""
        for table, key in keys:
            plan = self._shop.mapping.numbered.get(table)
            if plan is not None and plan.keyless:
                self.reload(plan)
            elif plan is not None:
                self.put(Work(plan=plan, key=key, refresh=True, background=True))
        if keys:
            self.wake()

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being done."""
        with self._condition:
            return all(not state.busy and state.lane.waiting == 0 for state in self._states.values())

    def _raise(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _next(self) -> _State | None:
        """A lane with something to do, marked busy; waits for one. None when the pool ends."""
        with self._condition:
            while not self._ending and self.failure is None:
                state = None if self._paused else self._choose(time.monotonic())
                if state is not None:
                    state.busy = True
                    self._turns += 1
                    state.turn = self._turns
                    return state
                self._condition.wait(POLL)
            return None

    def _choose(self, now: float) -> _State | None:
        """Lanes with something of the stream's first, of those the one whose turn is longest ago; every fourth time of all.

        A quarter of the threads is never given to the background.
        """
        ready = [state for state in self._states.values() if not state.busy and state.until <= now and state.lane.due()]
        if not ready:
            return None
        longest = min(ready, key=lambda state: state.turn)
        urgent = [state for state in ready if state.lane.urgent]
        if urgent and self._turns % FAIR_TURN:
            return min(urgent, key=lambda state: state.turn)
        busy = sum(state.busy for state in self._states.values())
        if longest.lane.urgent or busy < max(self._threads - self._threads // 4, 1):
            return longest
        return min(urgent, key=lambda state: state.turn) if urgent else None

    def _run(self) -> None:
        while (state := self._next()) is not None:
            try:
                state.lane.step()
                state.failures = 0
                if not any(other.failures for other in list(self._states.values())):
                    self.trouble = None  # while others wait, one that has got through says nothing about them
            except Transient as error:
                self._back_off(state, error)
            except BridgeError as error:
                self.failure = error
            except BaseException as error:
                self.failure = defect("a lane", error)
                logger.exception("a lane ended", extra={"space": state.lane.space})
            with self._condition:
                state.busy = False
                self._condition.notify_all()

    def _back_off(self, state: _State, error: Transient) -> None:
        state.failures += 1
        state.until = time.monotonic() + self._wait(_Backoff(state.failures))  # type: ignore[arg-type]
        if self.trouble is None or time.monotonic() - self._told > TELL_AGAIN:
            self._told = time.monotonic()
            logger.warning("the lanes wait: %s", error, extra={"space": state.lane.space, "hint": error.hint})
        self.trouble = str(error)
