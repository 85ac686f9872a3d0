"""The commands of the documents, and a shell in which they are run as they stand, but for ports and folders."""

from __future__ import annotations

import queue
import re
import subprocess
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import BridgeError
from bridge.ledger import Ledger
from bridge.ledger.place import ledger_exists
from bridge.lsn import fence
from bridge.postgres import connect, flush_position
from tests import ready
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FOREVER = re.compile(r"^engram-bridge (run|serve)\b(?!.*--until-caught-up)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command at a prompt, and what the document says that it prints."""

    document: str
    heading: str
    text: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    output: str


def blocks(document: Path, kind: str) -> Iterator[tuple[str, str]]:
    """The blocks of a kind, each with the heading that it stands under."""
    text = document.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["kind"] == kind:
            above = re.sub(r"^ *```.*?^ *```", "", text[: found.start()], flags=re.MULTILINE | re.DOTALL)
            yield (HEADING.findall(above) or [""])[-1], textwrap.dedent(found["text"])


def commands(document: Path) -> Iterator[Command]:
    """Every command of a document, in order, with what follows it up to the next prompt."""
    name = document.relative_to(ROOT).as_posix()
    for heading, block in blocks(document, "console"):
        lines = iter(block.splitlines())
        given: list[str] = []
        printed: list[str] = []
        for line in lines:
            if not line.startswith("$ "):
                printed.append(line)
                continue
            if given:
                yield Command(name, heading, "\n".join(given), tuple(printed))
            given, printed = [line.removeprefix("$ ")], []
            end = re.search(r"<<'(\w+)'", line)
            while given[-1].endswith("\\") or (end is not None and given[-1] != end[1]):
                given.append(next(lines))
        if given:
            yield Command(name, heading, "\n".join(given), tuple(printed))


class Shell:
    """One bash, as a reader of the documents would have it open. `replaced` are texts of commands that mean something else here.

    `engram-bridge` and `migrate-postgresql` are those of this checkout. What runs for ever is put into the background, and ends
    when the next of its kind begins. What a command with `&` prints goes into `log`.
    """

    def __init__(self, folder: Path, replaced: Mapping[str, str], path: Path) -> None:
        self.folder = folder
        self.replaced = dict(replaced)
        self.log: Path | None = None
        programs = folder.parent / "programs"
        programs.mkdir()
        self._socket = tempfile.TemporaryDirectory(prefix="ready-")  # a socket's path is short
        self._ready = ready.install(programs, Path(self._socket.name) / "socket")
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.run(f"set -m; export PATH={programs}:{path}:$PATH; unset PYTHONPATH PYTHONHOME")

    def run(self, text: str, *, timeout: float = PATIENCE) -> Done:
        """Run it to its end; what goes on in the background goes on."""
        for shown, meant in self.replaced.items():
            text = text.replace(shown, meant)
        words = text.split("#")[0].strip()
        if FOREVER.match(words):
            text = self._behind(words)
        elif words.endswith(" &"):
            self.log = self.folder.parent / f"background-{len(list(self.folder.parent.glob('background-*')))}.log"
            text = f"{words.removesuffix('&')} >{self.log} 2>&1 &"
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{{ {text}\n}} </dev/null\nprintf '\\ndone: %s\\n' $?\n")
        self._bash.stdin.flush()
        return self._answer(text, timeout)

    def _behind(self, words: str) -> str:
        """In the background, after the one before it has ended."""
        words = words.removesuffix("&").strip()
        log = "" if ">" in words else " >>forever.log 2>&1"
        ended = '[ -z "$forever" ] || { kill -TERM $forever; wait $forever; }'
        return f"{ended} >/dev/null 2>&1; {words}{log} & forever=$!"

    def _answer(self, text: str, timeout: float) -> Done:
        lines: list[str] = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise AssertionError(f"no end within {timeout:.0f} s:\n{text}\n{''.join(lines)}") from None
            assert line, f"the shell ended:\n{text}\n{''.join(lines)}"
            if line.startswith("done: "):
                return Done(int(line.removeprefix("done: ")), "".join(lines))
            lines.append(line)

    def _read(self) -> None:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            self._lines.put(line)
        self._lines.put("")

    def close(self) -> None:
        """End it, and all that it began."""
        assert self._bash.stdin is not None
        self._bash.stdin.write("kill -KILL $(jobs -p) >/dev/null 2>&1; exit\n")
        self._bash.stdin.close()
        self._bash.wait(30)
        self._reader.join(30)
        self._ready.terminate()
        self._ready.wait(30)
        self._socket.cleanup()
        assert self._bash.stdout is not None
        self._bash.stdout.close()


def normal(line: str) -> str:
    """A line of output without what is another one each time: numbers, units, identifiers, names of machines, widths."""
    line = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "0", line)
    line = re.sub(r"\d+(?:[.,:/-]?[0-9A-F]*\d+)*", "0", line)
    line = re.sub(r"0 (ms|s|min|h|days)\b", "0 s", re.sub(r"0 (kB|MB|GB)\b", "0 B", line))
    return " ".join(re.sub(r" on \S+ since", " on a machine since", line).split())


def unlike(told: tuple[str, ...], output: str) -> list[str]:
    """The lines of the documented output that were not printed; `…` stands for anything, a line of it for any lines."""
    printed = [normal(line) for line in output.splitlines()]
    missing = []
    for line in told:
        if line.strip() in ("", "…"):
            continue
        pattern = re.compile(re.escape(normal(line)).replace("…", ".*"))
        if not any(pattern.search(one) for one in printed):
            missing.append(line)
    return missing


UNDER_WAY = ("resync:", "new_slot")
"""Facts of the ledger that stand as long as tables are being read again, or a slot is being made."""


def wait_until_proven(source: str, ledger: str, timeout: float = PATIENCE) -> None:
    """Until a bridge runs with this ledger, has proven all that is committed now, and has loaded every table."""
    with connect(source) as connection:
        end = fence(flush_position(connection))
    began = time.time()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if ledger_exists(ledger):
                book = Ledger(ledger)
                try:
                    if _proven(book, end, began):
                        return
                finally:
                    book.close()
        except BridgeError:
            pass  # it is being made
        time.sleep(0.2)
    raise AssertionError(f"not proven after {timeout:.0f} s")


def _proven(book: Ledger, end: int, began: float) -> bool:
    facts, tables = book.facts(), book.tables()
    measured = book.gauges().get("waiting", (1, 0.0))[1]
    return (
        bool(tables)
        and all(one.state == "loaded" and one.reached <= int(facts.get("proven", 0)) for one in tables)
        and int(facts.get("proven", 0)) >= end
        and not any(name.startswith(UNDER_WAY) for name in facts)
        and measured > began
    )
