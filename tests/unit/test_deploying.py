"""What is shipped to run the product holds together where no Docker is needed to see it: compose file, images, units, rules."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from api.access import require_safe
from bridge import config as configuration
from bridge.cli import app
from bridge.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WRITES_ITS_OWN_FILES = {"kafka"}
SECRET = re.compile(r"password|token|secret|key", re.IGNORECASE)


def program(service: dict[str, Any]) -> bool:
    """Whether it is one of ours, with `engram-bridge` as its entry point."""
    return isinstance(service.get("build"), dict)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_more_power_than_it_needs(name: str) -> None:
    """No root, no capability, nothing gained later, and no file system to write to but its volumes."""
    service = SERVICES[name]
    user, _, _group = service["user"].partition(":")
    assert user.isdigit()
    assert int(user) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is (name not in WRITES_ITS_OWN_FILES)
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_how_it_is_and_is_started_again(name: str) -> None:
    """A health check, and a restart."""
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_this_hosts_alone(name: str) -> None:
    """Whatever is published is published on the loopback."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_compose_file(name: str) -> None:
    """A variable that sounds like a secret names a file of one, or is taken from the caller's environment."""
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable):
            assert value.startswith("/run/secrets/") or value == f"${{{variable}:-}}", variable


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    """Files are, and are read-only; volumes and secrets are declared."""
    service = SERVICES[name]
    for mount in service.get("volumes", []):
        source, _target, *mode = mount.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"], mount
        else:
            assert source in COMPOSE["volumes"], source
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_what_they_need(name: str) -> None:
    """For health and not for a start, and nobody waits in a circle."""
    seen: list[str] = []
    waiting = [name]
    while waiting:
        for needed, how in SERVICES[waiting.pop()].get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert needed != name, "a circle"
            seen.append(needed)
            waiting.append(needed)
    if name == "proxy":
        assert {"postgres", "engram", "bridge"} <= set(seen)


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """By a tag that says a version, or built here from a base that is."""
    service = SERVICES[name]
    build = service.get("build")
    if build is None:
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
        return
    folder = ROOT / (build if isinstance(build, str) else build["context"])
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$|^FROM ([^\s$]+)", text, flags=re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+", one or other) for one, other in bases)
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", text, flags=re.MULTILINE)


def test_the_databases_of_the_source_can_be_followed() -> None:
    """WAL for logical decoding, and a limit to what a slot may keep."""
    command = SERVICES["postgres"]["command"]
    assert "wal_level=logical" in command
    assert any(option.startswith("max_slot_wal_keep_size=") for option in command)


def test_without_its_secrets_compose_says_what_to_run() -> None:
    """The first secret's place is required with a sentence, and the script that it names makes all of them, once."""
    places = {name: given["file"] for name, given in COMPOSE["secrets"].items()}
    assert all(place.startswith("${ENGRAM_BRIDGE_SECRETS") and place.endswith(f"}}/{name}") for name, place in places.items())
    assert "ENGRAM_BRIDGE_SECRETS:?Run deploy/secrets.sh" in next(iter(places.values()))
    script = (ROOT / "deploy/secrets.sh").read_text(encoding="utf-8")
    made = re.search(r"^for name in (.*); do$", script, flags=re.MULTILINE)
    assert made is not None
    assert set(made[1].split()) == set(places)


def test_the_script_makes_secrets_and_keeps_those_that_are_there(tmp_path: Path) -> None:
    """Each of them long and its own, in a folder that is closed to others; a second call changes nothing."""
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy/secrets.sh"
    script.write_bytes((ROOT / "deploy/secrets.sh").read_bytes())
    found = []
    for _time in range(2):
        subprocess.run(["sh", script], check=True, capture_output=True, env={"PATH": "/usr/bin:/bin"})
        found.append({file.name: file.read_text(encoding="ascii") for file in (tmp_path / "deploy/secrets").iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == set(COMPOSE["secrets"])
    assert len(set(found[0].values())) == len(found[0])
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in found[0].values())
    assert (tmp_path / "deploy/secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".env").read_text(encoding="utf-8") == "ENGRAM_BRIDGE_SECRETS=./deploy/secrets\n"


def test_the_configuration_of_compose_is_one_and_is_safe(tmp_path: Path) -> None:
    """It loads with the secrets that its services are given, off loopback only with both tokens."""
    text = (ROOT / "deploy/bridge.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"\$\{file:/run/secrets/(\w+)\}", text))
    for service in ("bridge", "proxy"):
        assert named <= set(SERVICES[service]["secrets"])
    for name in named:
        (tmp_path / name).write_text(f"{name}-0123456789abcdef", encoding="ascii")
    file = tmp_path / "bridge.yaml"
    file.write_text(text.replace("/run/secrets", str(tmp_path)), encoding="utf-8")
    settings = configuration.load(file, environment={})
    require_safe(settings.serve)
    assert not settings.serve.loopback
    assert settings.ledger.startswith("postgresql://"), "two containers cannot share a file's locks safely"
    assert settings.target.grpc_address == "engram:50051"
    unsafe = settings.serve.model_copy(update={"read_token": None, "operate_token": None})
    with pytest.raises(ConfigError, match="no token"):
        require_safe(unsafe)


def test_commands_of_services_and_units_are_commands_of_ours() -> None:
    """With options that they have."""
    given = [service["command"] for service in SERVICES.values() if program(service)]
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        line = re.search(r"^ExecStart=\S+/engram-bridge (.+)$", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert line is not None, unit.name
        given.append(shlex.split(line[1]))
    assert len(given) >= 5
    for words in given:
        command: Any = typer.main.get_command(app)
        words = list(words)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_the_image_holds_every_package_and_nothing_else() -> None:
    """What the wheel is made of is copied, and let through by .dockerignore, which keeps everything else back."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    files = {name for line in copied for name in line.split()}
    assert set(wheel["packages"]) <= files
    assert all((ROOT / name).exists() for name in files)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == files


def test_prometheus_and_grafana_find_their_files() -> None:
    """Rules, board and data source are where the provisioned files say."""
    folder = ROOT / "deploy/prometheus"
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    assert all((folder / name).exists() for name in prometheus["rule_files"])
    targets = [target for job in prometheus["scrape_configs"] for given in job["static_configs"] for target in given["targets"]]
    assert all(target.partition(":")[0] in SERVICES for target in targets)
    mounts = [mount.split(":") for mount in SERVICES["grafana"]["volumes"]]
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/engram-bridge.yml").read_text(encoding="utf-8"))
    boards = next(Path(source) for source, target, *_ in mounts if target == provider["providers"][0]["options"]["path"])
    assert list((ROOT / boards).glob("*.json"))
