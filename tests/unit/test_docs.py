"""The documents are true where a machine can tell: links, commands, configuration keys, names of tests.

Run as a program (`python -m tests.unit.test_docs`) it writes the README's configuration table anew from the schema.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from bridge.cli import app
from bridge.cli.migrating import app as migrate_app
from bridge.config import Config
from bridge.explain import Key, keys
from bridge.gates import COMMON, OWN, Gate

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)(?:::(?P<name>\w+))?`")
TABLE = re.compile(r"(<!-- configuration: begin[^>]*-->\n)(.*?)(\n<!-- configuration: end -->)", re.DOTALL)
MADE_BY_MAKE = {"install", "demo", "test"}


def prose(document: Path) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, made as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
    """A link names a file that is there, and a heading that the file has."""
    for found in LINK.finditer(prose(document)):
        target = found["target"]
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(file), f"{document.name}: {target}: {file.name} has no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_tests_exist(document: Path) -> None:
    """A document that says where something is tested is right about it."""
    for found in TEST.finditer(document.read_text(encoding="utf-8")):
        file = ROOT / found["file"]
        assert file.exists(), f"{document.name}: there is no {found['file']}"
        if found["name"]:
            there = re.search(rf"^def {found['name']}\(", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert there, f"{document.name}: {found['file']} has no {found['name']}"


def commands(document: Path) -> Iterator[list[str]]:
    """Every `engram-bridge …` of a document, in prose, tables and at the prompt of examples, as words."""
    text = document.read_text(encoding="utf-8")
    given = re.findall(r"`engram-bridge ([^`\n]+)`", text)
    given += re.findall(r"^(?:\$ |# )(?:\.venv/bin/)?engram-bridge ([^\n#&>]+)", text, flags=re.MULTILINE)
    for command in given:
        yield [word for word in shlex.split(command) if word != "\\"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    """What a document says to type is a command of ours, with options that it has."""
    for words in commands(document):
        command: Any = typer.main.get_command(app)
        rest = list(words)
        while hasattr(command, "commands"):
            assert rest, f"{document.name}: engram-bridge {' '.join(words)}: it says nothing to do"
            name = rest.pop(0)
            assert name in command.commands, f"{document.name}: engram-bridge {' '.join(words)}: there is no {name}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        for word in rest:
            if word.startswith("-"):
                option = word.partition("=")[0]
                assert option in known, f"{document.name}: engram-bridge {' '.join(words)}: there is no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_flags_of_migrations_exist(document: Path) -> None:
    """The same of `migrate-postgresql …`, in prose and in blocks, over several lines too."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    known = {
        option
        for parameter in typer.main.get_command(migrate_app).params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for command in re.findall(r"(?:`|\$ |&& )migrate-postgresql ([^`\n&|#]+)", text):
        for option in re.findall(r"(?<!\S)(--[\w-]+)", command):
            assert option in known | {"--help"}, f"{document.name}: migrate-postgresql {command}: there is no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_prompts_stand_in_console_blocks(document: Path) -> None:
    """Only those are run by `tests/acceptance/test_documents.py`."""
    text = document.read_text(encoding="utf-8")
    for kind, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE):
        assert kind == "console" or not re.search(r"^ *\$ ", block, flags=re.MULTILINE), f"{document.name}: {block}"


def test_every_gate_has_its_entry_in_the_runbook() -> None:
    """Who is sent there by a gate finds it."""
    for name in (*COMMON, *OWN):
        file, _, anchor = Gate(name, "", None, None, "", False, 0.0).runbook.partition("#")
        assert anchor in anchors(ROOT / file), name


def test_make_targets_exist() -> None:
    """The same of `make …`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:`|\$ |/postgres )make (\w+)", document.read_text(encoding="utf-8"))
    }
    assert named >= MADE_BY_MAKE
    assert named <= targets


def table_row(key: Key) -> str:
    """A key as the README shows it."""
    default = "required" if key.default is None else "-" if key.default == "-" else f"`{key.default}`"
    return f"| `{key.path}` | {key.kind} | {default} | {key.meaning} |"


def configuration_table() -> str:
    """The README's table."""
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *map(table_row, keys(Config))])


def test_the_configuration_table_is_the_schemas() -> None:
    """Every key of the schema is documented, with its type, default and meaning, and no other is."""
    found = TABLE.search(README.read_text(encoding="utf-8"))
    assert found is not None, "the README has lost the marks around its configuration table"
    documented = re.findall(r"^\| `([^`]+)` \|", found[2], flags=re.MULTILINE)
    assert documented == [key.path for key in keys(Config)], "python -m tests.unit.test_docs writes the table anew"
    assert found[2] == configuration_table(), "python -m tests.unit.test_docs writes the table anew"


def test_examples_of_configuration_use_known_keys() -> None:
    """The keys at the top of every YAML example are keys of the schema."""
    known = set(Config.model_fields)
    for document in DOCUMENTS:
        for example in re.findall(r"^```yaml\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
            assert set(yaml.safe_load(example)) <= known, f"{document.name}: {example}"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda found: found[1] + configuration_table() + found[3], text), encoding="utf-8")
    sys.stdout.write("README.md: the configuration table is written\n")
