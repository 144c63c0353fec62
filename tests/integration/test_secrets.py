"""No password gets out: all that commands print and write, at the highest verbosity, is searched for those they got."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.paths import TINY
from tests.support.postgresql import needs_postgresql, postgresql
from tests.support.processes import free_port
from tests.support.tracking_servers import running_server

pytestmark = needs_postgresql

#: one a way in, with a letter that addresses write in another way
WORDS = {
    "tracking": "tracking@pass/8c1d",
    "storage": "storage:pass@77fe",
    "cluster": "cluster%pass?19ab",
    "RPI_PASSWORD": 'board\'s "pass" 5e02',
    "RPI_APIKEY": "key+pass=c4d9",
}
USER = "tester"  # a role of the database


def forms(word: str) -> set[bytes]:
    """How a word may stand in what is written."""
    texts = {word, quote(word, safe=""), quote(word), json.dumps(word)[1:-1], repr(word)[1:-1]}
    pair = f"{USER}:{word}".encode()
    return {text.encode() for text in texts} | {base64.b64encode(word.encode()), base64.b64encode(pair).rstrip(b"=")}


def address(place: str, way: str) -> str:
    """``scheme://host:port/rest`` with user and password."""
    scheme, _, rest = place.partition("://")
    return f"{scheme}://{USER}:{quote(WORDS[way], safe='')}@{rest.rpartition('@')[2]}"


@dataclass
class Commands:
    """Runs commands in a place of their own, and keeps there what they print."""

    root: Path
    tracking: str
    said: dict[str, str] = field(default_factory=dict)

    def run(self, code: int, name: str, *arguments: str) -> None:
        """Run a command that is called ``name`` here and must end with this exit code."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("RPI_", "MLFLOW_", "XDG_"))}
        own |= {
            "HOME": str(self.root / "home"),
            "ELLOPT_STORE": str(self.root / "home" / "store.sqlite"),
            "MLFLOW_TRACKING_URI": address(self.tracking, "tracking"),
            "RPI_PASSWORD": WORDS["RPI_PASSWORD"],
            "RPI_APIKEY": WORDS["RPI_APIKEY"],
            "ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(Path("~/.cache/zig").expanduser())),
        }
        done = subprocess.run(
            [sys.executable, "-m", "ellopt", *arguments],
            cwd=self.root, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        )  # fmt: skip
        (self.root / f"{name}.txt").write_bytes(done.stdout)
        self.said[name] = done.stdout.decode()
        assert done.returncode == code, self.said[name]

    def tune(self, code: int, name: str, storage: str) -> None:
        self.run(
            *(code, f"tuning {name}", "optimize", "--model_path", str(TINY), "--target", "host", "-o", name),
            *("--options", "quick", "--trials", "2", "--no_warm_start", "--storage", address(storage, "storage")),
            *("--verbosity", "DEBUG", "--logfile", f"{name}.log"),
        )


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """What is left when database and tracking server were used while they were down, and again while they were up."""
    root = tmp_path_factory.mktemp("used")
    (root / "home").mkdir()
    port = free_port()
    commands = Commands(root, f"http://127.0.0.1:{port}")
    commands.tune(2, "down", "postgresql+psycopg://127.0.0.1:1/postgres")
    commands.run(0, "doctor", "doctor", "-o", "down")
    with running_server(root, port, root / "mlflow.db"), postgresql() as database:
        commands.tune(0, "up", database)
        commands.run(0, "sync", "sync", "down", "--to", address(commands.tracking, "tracking"))
    board = ("--ipaddress", "127.0.0.1", "--ssh_port", "1", "--username", USER, "--target", "pi3")
    commands.run(1, "devices", "devices", *board)
    commands.run(2, "cluster", "devices", "--cluster", address("http://127.0.0.1:1/api/", "cluster"))
    return commands


def test_the_addresses_were_used_and_are_named(commands: Commands) -> None:
    said = commands.said
    place = commands.tracking.removeprefix("http://")
    assert "127.0.0.1:1/postgres cannot be used" in said["tuning down"]
    assert all(place in said[name] for name in ("tuning down", "tuning up", "doctor"))
    assert ", 0 waiting" in said["sync"]
    assert "must not hold a user" in said["cluster"]


@pytest.mark.parametrize("way", WORDS)
def test_nothing_printed_or_written_holds_the_word(commands: Commands, way: str) -> None:
    files = [path for path in commands.root.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"tuning up.txt", "up.log", "down.log", "mlflow.db", "records.jsonl", "store.sqlite", "server.log"} <= names
    for path in files:
        content = path.read_bytes() + os.fsencode(path)
        found = [form for form in forms(WORDS[way]) if form in content]
        assert not found, f"{path.relative_to(commands.root)} holds {found}"
