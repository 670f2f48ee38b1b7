"""The rules that a reviewer would otherwise have to remember (README, "Layout and imports").

A new file is a core unless it is named in SHELLS.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "mesh": set[str](),
    "gateway": {"mesh"},
    "node": {"mesh", "gateway"},
    "loadtest": {"whimbrel"},
    "whimbrel": set[str](),
    "tests": {"mesh", "gateway", "node", "loadtest", "whimbrel"},
}
"""Our packages, and from which others each may import. loadtest sees what a client sees."""

MEASURES_PARTS = "loadtest/mesh/"
"""Measures the mesh by itself, so it imports it."""

MAY_BE_CLIENTS = ("node/commands/", "node/demo/", "node/cli.py")
"""Files of node/ that use the SDK as anyone would."""

SHELLS = {
    "client/python/whimbrel/__init__.py",
    "client/python/whimbrel/blocking.py",
    "client/python/whimbrel/client.py",
    "client/python/whimbrel/connection.py",
    "client/python/whimbrel/subscription.py",
    "gateway/__main__.py",
    "gateway/http/queries.py",
    "gateway/sessions/authority.py",
    "gateway/sockets/connection.py",
    "gateway/http/server.py",
    "gateway/link/logs.py",
    "gateway/http/site.py",
    "gateway/uplink.py",
    "gateway/worker.py",
    "loadtest/",
    "mesh/transport/keys.py",
    "mesh/transport/listening.py",
    "mesh/slots/promises.py",
    "mesh/transport/pump.py",
    "mesh/transport/transport.py",
    "mesh/membership/udp.py",
    "node/cli.py",
    "node/cluster/cluster.py",
    "node/status/cluster.py",
    "node/commands/",
    "node/demo/extract.py",
    "node/demo/guard.py",
    "node/demo/nodes.py",
    "node/demo/producer.py",
    "node/demo/run.py",
    "node/logs/kafka_logs.py",
    "node/kafka/bridge.py",
    "node/kafka/discovery.py",
    "node/kafka/embedded.py",
    "node/kafka/producer.py",
    "node/kafka/reader.py",
    "node/kafka/replay.py",
    "node/kafka/threads.py",
    "node/main.py",
    "node/cluster/members.py",
    "node/logs/slot_logs.py",
    "node/status/metrics.py",
    "node/node.py",
    "node/status/observed.py",
    "node/parts.py",
    "node/settings/__init__.py",
    "node/settings/cluster_files.py",
    "node/settings/librdkafka.py",
    "node/settings/load.py",
    "node/settings/reference.py",
    "node/workers.py",
    "tests/",
}
"""Files, and folders with all that is in them, that touch the outside world. All others are cores."""

# fmt: off
CORE_MAY_IMPORT = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions", "functools", "hashlib",
    "heapq", "hmac", "html", "http", "ipaddress", "itertools", "json", "keyword", "math", "msgpack", "msgspec",
    "operator", "random", "re", "string", "struct", "textwrap", "tomllib", "types", "typing", "unicodedata",
    "urllib.parse", "zlib",
}
# fmt: on
"""Of `random` only the class Random, which whoever makes it seeds."""
# fmt: off
CORE_MAY_IMPORT_OF_WEBSOCKETS = {
    "client", "datastructures", "exceptions", "extensions", "frames", "headers", "http11", "protocol", "server",
    "streams", "typing", "uri",
}
# fmt: on
"""The sans-I/O half of the library."""
CORE_MAY_NOT_CALL = {"hash", "id", "input", "open", "print"}
"""`hash` and `id` differ in every process; the others are I/O."""
CLOCKS = re.compile(r"(datetime|date)[.](now|utcnow|today)")

FILE_LINES_MAX = 400
TEST_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

FORBIDDEN_TEXT = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|registry[.]yarnpkg|repo1?[.]maven|deb[.]debian[.]org"
    r"|proxy[.]golang|crates[.]io|/work[/][a-z]|/root[/]|/home[/][a-z]"
)
"""Hosts of registries and paths of one machine: a checkout works anywhere, with any mirror."""


def sources() -> list[str]:
    """Every Python file of the project, as a path from its root."""
    folders = ["mesh", "gateway", "node", "loadtest", "client/python/whimbrel", "tests"]
    return sorted(p.relative_to(ROOT).as_posix() for folder in folders for p in (ROOT / folder).rglob("*.py"))


def package_of(name: str) -> str:
    return name.removeprefix("client/python/").split("/")[0]


def is_shell(name: str) -> bool:
    return any(name == shell or (shell.endswith("/") and name.startswith(shell)) for shell in SHELLS)


def file_of(module: str) -> str | None:
    """The file of a module of ours."""
    base = "client/python/" if module.split(".")[0] == "whimbrel" else ""
    for name in (f"{base}{module.replace('.', '/')}.py", f"{base}{module.replace('.', '/')}/__init__.py"):
        if (ROOT / name).exists():
            return name
    return None


def imported(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of every import but relative ones and those for type checkers only."""
    for item in _without_type_checking(tree):
        if isinstance(item, ast.Import):
            yield from ((item.lineno, alias.name, "") for alias in item.names)
        elif isinstance(item, ast.ImportFrom) and item.level == 0 and item.module:
            yield from ((item.lineno, item.module, alias.name) for alias in item.names)


def _without_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _without_type_checking(child)


def direction_problems(name: str, tree: ast.AST) -> Iterator[str]:
    package = package_of(name)
    allowed = MAY_IMPORT[package] | {package}
    if name.startswith(MAY_BE_CLIENTS):
        allowed = allowed | {"whimbrel"}
    if name.startswith(MEASURES_PARTS):
        allowed = allowed | {"mesh"}
    for line, module, _ in imported(tree):
        top = module.split(".")[0]
        if top in MAY_IMPORT and top not in allowed:
            yield f"{name}:{line}: {package} may not import {module}"


def core_problems(name: str, tree: ast.AST) -> Iterator[str]:
    for line, module, imported_name in imported(tree):
        top, _, rest = module.partition(".")
        if top in MAY_IMPORT:
            file = file_of(f"{module}.{imported_name}") or file_of(module)
            if file is not None and is_shell(file):
                yield f"{name}:{line}: a core may not import the shell {file}"
        elif top == "websockets":
            part = rest.split(".")[0] or imported_name
            if package_of(name) not in ("gateway", "whimbrel") or part not in CORE_MAY_IMPORT_OF_WEBSOCKETS:
                yield f"{name}:{line}: a core may not import {module}"
        elif module not in CORE_MAY_IMPORT and top not in CORE_MAY_IMPORT:
            yield f"{name}:{line}: a core may not import {module}"
        elif module == "random" and imported_name != "Random":
            yield f"{name}:{line}: a core may import only Random from random"
    for item in ast.walk(tree):
        if isinstance(item, ast.Call):
            called = ast.unparse(item.func)
            if called in CORE_MAY_NOT_CALL or CLOCKS.search(called):
                yield f"{name}:{item.lineno}: a core may not call {called}()"


def size_problems(name: str, text: str, tree: ast.AST) -> Iterator[str]:
    lines = text.count("\n")
    most = TEST_LINES_MAX if name.startswith("tests/") else FILE_LINES_MAX
    if lines > most:
        yield f"{name}: {lines} lines, more than {most}"
    for item in ast.walk(tree):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            assert item.end_lineno is not None
            lines = item.end_lineno - item.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{name}:{item.lineno}: {item.name}() has {lines} lines, more than {FUNCTION_LINES_MAX}"


def docstring_problems(name: str, tree: ast.Module) -> Iterator[str]:
    if tree.body and not ast.get_docstring(tree):
        yield f"{name}: no docstring"


def problems_of(name: str, text: str) -> list[str]:
    tree = ast.parse(text)
    found = [
        *direction_problems(name, tree),
        *([] if is_shell(name) else core_problems(name, tree)),
        *size_problems(name, text, tree),
        *docstring_problems(name, tree),
    ]
    return list(dict.fromkeys(found))  # one import of several names is one problem


@pytest.mark.parametrize("name", sources())
def test_every_source_keeps_the_rules(name: str) -> None:
    problems = problems_of(name, (ROOT / name).read_text(encoding="utf-8"))
    assert not problems, "\n".join(problems)


def test_the_sdk_that_a_node_serves_is_installed_with_it() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    installed = {path for pattern in setuptools["data-files"]["share/whimbrel/sdk"] for path in ROOT.glob(pattern)}
    assert {*(ROOT / "client" / "js").glob("*.js")} == installed
    assert ROOT / "client" / "js" / "whimbrel.js" in installed


def test_every_shell_exists() -> None:
    assert [shell for shell in sorted(SHELLS) if not (ROOT / shell).exists()] == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert listed
    found = []
    for name in listed:
        file = ROOT / name
        text = file.read_text(encoding="utf-8", errors="ignore") if file.is_file() else ""
        found += [f"{name}: {match}" for match in sorted(set(FORBIDDEN_TEXT.findall(text)))]
    assert found == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("mesh/x.py", "import gateway.sessions.session", "mesh may not import gateway.sessions.session"),
        ("gateway/x.py", "from node.node import Node", "gateway may not import node.node"),
        ("node/x.py", "import whimbrel", "node may not import whimbrel"),
        ("loadtest/x.py", "from mesh import log", "loadtest may not import mesh"),
        ("client/python/whimbrel/x.py", "import mesh.log", "whimbrel may not import mesh.log"),
        ("mesh/x.py", "def f():\n    import time", "a core may not import time"),
        ("mesh/x.py", "import random", "only Random from random"),
        ("mesh/x.py", "from websockets.frames import Frame", "a core may not import websockets.frames"),
        ("gateway/x.py", "from websockets.asyncio import server", "a core may not import websockets.asyncio"),
        ("node/x.py", "from node.kafka.embedded import EmbeddedKafka", "the shell node/kafka/embedded.py"),
        ("node/x.py", "from node.demo import producer", "the shell node/demo/producer.py"),
        ("mesh/x.py", "print(1)", "a core may not call print()"),
        ("mesh/x.py", "a = {hash('b')}", "a core may not call hash()"),
        ("mesh/x.py", "import datetime as d\nd.datetime.now()", "a core may not call d.datetime.now()"),
        ("node/x.py", '"""x"""\n' * 401, "401 lines"),
        ("tests/x.py", '"""x"""\n' * 501, "501 lines"),
        ("tests/x.py", "def f():\n" + "    pass\n" * 70, "f() has 71 lines"),
        ("tests/x.py", "x = 1", "no docstring"),
    ],
)
def test_a_broken_rule_is_found(name: str, text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems_of(name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mesh/x.py", "from random import Random"),
        ("gateway/x.py", "from websockets.frames import Frame"),
        ("node/commands/x.py", "import time, whimbrel"),
        ("node/x.py", "if TYPE_CHECKING:\n    from node.demo import producer"),
        ("client/python/whimbrel/x.py", "from . import session"),
        ("tests/x.py", "\n" * 450),
    ],
)
def test_a_kept_rule_is_not_found_broken(name: str, text: str) -> None:
    assert problems_of(name, f'"""x"""\n{text}') == []


def test_forbidden_text_is_found() -> None:
    for text in (
        "https://pypi" + ".org/simple",
        "/" + "root/.cache",
        "/" + "home/ann/x",
        "https://repo1" + ".maven.org",
    ):
        assert FORBIDDEN_TEXT.search(text)
