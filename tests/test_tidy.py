"""The rules that a reviewer would otherwise have to remember: layout, imports, sizes, names, words.

A new file is a core unless it is named in SHELLS. Rules that today's sources do not keep yet have a list of what still
breaks them; such a list may only shrink: what breaks the rule no longer must be taken from it.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "mesh/": {"mesh"},
    "gateway/": {"gateway", "mesh", "whimbrel_server"},
    "gateway/extension/": {"whimbrel_server"},
    "gateway/link/": {"gateway.link", "mesh"},
    "node/": {"node", "mesh", "gateway.link"},
    "node/audit/": {"node", "mesh", "gateway.link", "whimbrel_server"},
    "node/cli.py": {"node", "mesh", "gateway.link", "whimbrel"},
    "node/commands/": {"node", "mesh", "whimbrel", "loadtest.quick", "loadtest.swarm.receipts"},
    "loadtest/": {"loadtest", "whimbrel"},
    "loadtest/cores.py": {"loadtest", "mesh", "gateway", "node", "whimbrel_server"},
    "loadtest/mesh/": {"loadtest", "mesh"},
    "client/python/whimbrel/": {"whimbrel"},
    "tests/": {"mesh", "gateway", "node", "loadtest", "whimbrel", "whimbrel_server", "tests"},
}
"""What of ours each may import; the longest entry that fits holds.

`gateway.link` is the contract between a node and its workers. The command line uses the SDK as anyone would. loadtest
sees what a client sees, but for what measures the mesh, or the cores, by themselves.
"""
OURS = {"mesh", "gateway", "node", "loadtest", "whimbrel", "whimbrel_server", "tests"}
IMPORT_ROOTS = "client/python/", "gateway/extension/"
"""Folders, besides the project's own, under which packages lie."""

NAMES_LEFT = {
    "Ended": 2,
    "Gap": 3,
    "Headers": 2,
    "Interest": 2,
    "Live": 3,
    "Ping": 2,
    "Place": 2,
    "Position": 2,
    "Publish": 2,
    "Published": 3,
    "Publishing": 2,
    "Reader": 2,
    "Record": 2,
    "Refused": 2,
    "Servers": 2,
    "Session": 2,
    "Start": 2,
    "State": 2,
    "Stats": 2,
    "SubjectError": 2,
    "Subscribe": 2,
    "Subscribed": 2,
    "Subscription": 2,
    "Waiting": 3,
}
"""Types' names with several meanings, and how many. One name shall have one meaning."""
ONE_MEANING = "client/python/whimbrel/frames.py", "gateway/sessions/frames.py"
"""The protocol's frames, which server and SDK define for themselves: they share a text, not a module."""

SHELLS = {
    "client/python/whimbrel/__init__.py",
    "client/python/whimbrel/blocking.py",
    "client/python/whimbrel/client.py",
    "client/python/whimbrel/connection.py",
    "client/python/whimbrel/subscription.py",
    "gateway/__main__.py",
    "gateway/authorizers/jwt.py",
    "gateway/authorizers/keys.py",
    "gateway/authorizers/taking.py",
    "gateway/authorizers/webhook.py",
    "gateway/http/queries.py",
    "gateway/sessions/authority.py",
    "gateway/sessions/loading.py",
    "gateway/sockets/client_socket.py",
    "gateway/sockets/readable.py",
    "gateway/http/arrival.py",
    "gateway/http/listeners.py",
    "gateway/http/server.py",
    "gateway/link/crash.py",
    "gateway/link/imports.py",
    "gateway/link/logs.py",
    "gateway/link/plugins.py",
    "gateway/link/processor_wait.py",
    "gateway/link/trial.py",
    "gateway/link/resolver.py",
    "gateway/link/timed_http.py",
    "gateway/http/site.py",
    "gateway/http/tls_socket.py",
    "gateway/link/certificates.py",
    "gateway/sockets/tls.py",
    "gateway/link/files.py",
    "gateway/link/listening.py",
    "gateway/uplink.py",
    "gateway/worker.py",
    "loadtest/",
    "mesh/transport/keys.py",
    "mesh/transport/secrecy.py",
    "mesh/transport/addresses.py",
    "mesh/slots/promises.py",
    "mesh/transport/pump.py",
    "mesh/transport/transport.py",
    "mesh/membership/udp.py",
    "node/admin/server.py",
    "node/audit/audit.py",
    "node/audit/kafka.py",
    "node/audit/loading.py",
    "node/audit/log.py",
    "node/cli.py",
    "node/cluster/greeting.py",
    "node/cluster/network.py",
    "node/commands/",
    "node/demo/extract.py",
    "node/demo/guard.py",
    "node/demo/nodes.py",
    "node/demo/producer.py",
    "node/demo/run.py",
    "node/kafka/discovery.py",
    "node/kafka/embedded.py",
    "node/kafka/errors.py",
    "node/kafka/kafka.py",
    "node/kafka/making.py",
    "node/kafka/producer.py",
    "node/kafka/producer_thread.py",
    "node/kafka/reader.py",
    "node/kafka/replay.py",
    "node/kafka/threads.py",
    "node/kafka/tokens.py",
    "node/kafka/topic_admin.py",
    "node/launcher/",
    "node/machine.py",
    "node/main.py",
    "node/node.py",
    "node/run_dir.py",
    "node/settings/__init__.py",
    "node/settings/cluster_files.py",
    "node/settings/librdkafka.py",
    "node/settings/load.py",
    "node/settings/plugins.py",
    "node/settings/reference.py",
    "node/settings/tls_files.py",
    "node/status/",
    "node/systemd.py",
    "node/tables/keeper.py",
    "node/tables/store.py",
    "node/tokens/fetch.py",
    "node/tokens/minting.py",
    "node/tokens/key_store.py",
    "node/tokens/store.py",
    "node/wait_ended.py",
    "node/workers.py",
    "tests/",
}
"""Files, and folders with all that is in them, that touch the outside world. All others are cores."""

# fmt: off
CORE_MAY_IMPORT = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions", "functools", "hashlib",
    "heapq", "hmac", "html", "ipaddress", "itertools", "json", "keyword", "math", "msgpack", "msgspec",
    "operator", "random", "re", "string", "struct", "textwrap", "tomllib", "types", "typing", "unicodedata",
    "urllib.parse", "zlib",
}
# fmt: on
"""Of `random` only the class Random, which whoever makes it seeds."""
# fmt: off
CORE_MAY_IMPORT_OF_WEBSOCKETS = {"exceptions", "frames"}
# fmt: on
"""The sans-I/O half of the library."""
CORE_MAY_NOT_CALL = {"hash", "id", "input", "open", "print"}
"""`hash` and `id` differ in every process; the others are I/O."""
CLOCKS = re.compile(r"(datetime|date)[.](now|utcnow|today)")

FILE_LINES_MAX = 600
"""Files are split by idea; this only stops what nobody can want."""
FUNCTION_LINES_MAX = 70

DOCUMENTS = re.compile(r"\bDESIGN\b|\b(DESIGN|mesh|models|product|peers|machines)[.]md\b")

FORBIDDEN_TEXT = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|registry[.]yarnpkg|repo1?[.]maven|deb[.]debian[.]org"
    r"|proxy[.]golang|crates[.]io|/work[/][a-z]|/root[/]|/home[/][a-z]"
)
"""Hosts of registries and paths of one machine: a checkout works anywhere, with any mirror."""


@functools.cache
def sources() -> list[str]:
    """Every Python file of the project, as a path from its root."""
    folders = ["mesh", "gateway", "node", "loadtest", "client/python/whimbrel", "tests"]
    return sorted(p.relative_to(ROOT).as_posix() for folder in folders for p in (ROOT / folder).rglob("*.py"))


def in_root(name: str) -> str:
    """The path of a file in the folder under which its package lies."""
    return next((name.removeprefix(root) for root in IMPORT_ROOTS if name.startswith(root)), name)


def is_shell(name: str) -> bool:
    return any(name == shell or (shell.endswith("/") and name.startswith(shell)) for shell in SHELLS)


@functools.cache
def _files_of_modules() -> dict[str, str]:
    modules = {in_root(name).removesuffix(".py").replace("/", "."): name for name in sources()}
    return {module.removesuffix(".__init__"): name for module, name in modules.items()}


def file_of(module: str) -> str | None:
    """The file of a module of ours."""
    return _files_of_modules().get(module)


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All but the leaves of a tree: as `ast.walk`, but faster."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        yield item
        for field in item._fields:
            value = getattr(item, field, None)
            if isinstance(value, list):
                waiting += [one for one in value if isinstance(one, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, LEAVES):
                waiting.append(value)


LEAVES = ast.Constant, ast.Name, ast.expr_context, ast.operator


class Source:
    """What the rules look at in a file. Its tree is not kept: of all files, that would be millions of objects."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.count("\n")
        self.imports: list[tuple[int, str, str]] = []
        """Line, module and name of every import, also of those for type checkers only."""
        self.calls: list[tuple[int, str]] = []
        self.functions: list[tuple[int, str, int]] = []
        """Line, name and number of lines."""
        self.types: list[str] = []
        """Names of classes and of type aliases."""
        tree = ast.parse(text)
        self.has_docstring = not tree.body or bool(ast.get_docstring(tree))
        package = in_root(name).split("/")[:-1]
        for item in nodes(tree):
            match item:
                case ast.Import():
                    self.imports += [(item.lineno, alias.name, "") for alias in item.names]
                case ast.ImportFrom():
                    above = package[: len(package) + 1 - item.level] if item.level else []
                    module = ".".join([*above, *([item.module] if item.module else [])])
                    self.imports += [(item.lineno, module, alias.name) for alias in item.names]
                case ast.Call() if not is_shell(name):
                    self.calls.append((item.lineno, ast.unparse(item.func)))
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    assert item.end_lineno is not None
                    self.functions.append((item.lineno, item.name, item.end_lineno - item.lineno + 1))
                case (
                    ast.ClassDef(name=type_name)
                    | ast.AnnAssign(target=ast.Name(type_name), annotation=ast.Name("TypeAlias"))
                ):
                    self.types.append(type_name)


@functools.cache
def source(name: str) -> Source:
    return Source(name, (ROOT / name).read_text(encoding="utf-8"))


def direction_problems(file: Source) -> Iterator[str]:
    room = max((room for room in MAY_IMPORT if file.name.startswith(room)), key=len)
    for line, module, imported_name in file.imports:
        full = f"{module}.{imported_name}."
        if module.split(".")[0] in OURS and not any(full.startswith(f"{one}.") for one in MAY_IMPORT[room]):
            yield f"{file.name}:{line}: {room} may not import {full.rstrip('.')}"


def core_problems(file: Source) -> Iterator[str]:
    name = file.name
    for line, module, imported_name in file.imports:
        top, _, rest = module.partition(".")
        if top in OURS:
            imported = file_of(f"{module}.{imported_name}") or file_of(module)
            if imported is not None and is_shell(imported):
                yield f"{name}:{line}: a core may not import the shell {imported}"
        elif top == "websockets":
            part = rest.split(".")[0] or imported_name
            if not name.startswith(("gateway/", "client/")) or part not in CORE_MAY_IMPORT_OF_WEBSOCKETS:
                yield f"{name}:{line}: a core may not import {module}"
        elif module not in CORE_MAY_IMPORT and top not in CORE_MAY_IMPORT:
            yield f"{name}:{line}: a core may not import {module}"
        elif module == "random" and imported_name != "Random":
            yield f"{name}:{line}: a core may import only Random from random"
    for line, called in file.calls:
        if called in CORE_MAY_NOT_CALL or CLOCKS.search(called):
            yield f"{name}:{line}: a core may not call {called}()"


def size_problems(file: Source) -> Iterator[str]:
    if file.lines > FILE_LINES_MAX:
        yield f"{file.name}: {file.lines} lines, more than {FILE_LINES_MAX}"
    for line, function, lines in file.functions:
        if lines > FUNCTION_LINES_MAX:
            yield f"{file.name}:{line}: {function}() has {lines} lines, more than {FUNCTION_LINES_MAX}"


def problems_of(file: Source) -> list[str]:
    """What is wrong with one file, by itself."""
    found = [
        *direction_problems(file),
        *([] if is_shell(file.name) else core_problems(file)),
        *size_problems(file),
        *([] if file.has_docstring else [f"{file.name}: no docstring"]),
    ]
    return list(dict.fromkeys(found))  # one import of several names is one problem


def imports_of(name: str) -> set[str]:
    """The files of ours that a file of ours imports, itself left out."""
    found = {file_of(f"{module}.{one}") or file_of(module) for _, module, one in source(name).imports}
    return {file for file in found if file is not None and file != name}


def circles(imports: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Groups of files each of which reaches all others of its group by imports."""
    reached: dict[str, set[str]] = {}
    for name in imports:
        seen: set[str] = set()
        waiting = [*imports[name]]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += imports.get(one, ())
        reached[name] = seen
    found: list[set[str]] = []
    for name in imports:
        if name in reached[name] and not any(name in circle for circle in found):
            found.append({one for one in reached[name] if name in reached[one]})
    return found


def meanings(types: Iterable[tuple[str, str]]) -> dict[str, int]:
    """From (name of a public type, file): names that have more than one meaning, and how many."""
    files: dict[str, set[str]] = {}
    for name, file in types:
        if not name.startswith("_"):
            files.setdefault(name, set()).add(ONE_MEANING[1] if file in ONE_MEANING else file)
    return {name: len(where) for name, where in sorted(files.items()) if len(where) > 1}


def listed_files() -> list[str]:
    """All that git has, or would take."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert listed
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.mark.parametrize("name", sources())
def test_every_source_keeps_the_rules(name: str) -> None:
    problems = problems_of(source(name))
    assert not problems, "\n".join(problems)


def test_no_files_import_each_other_in_a_circle() -> None:
    found = circles({name: imports_of(name) for name in sources()})
    assert not found, f"import each other in a circle, types included: {[sorted(circle) for circle in found]}"


def test_a_type_has_a_name_of_its_own() -> None:
    packages = ("mesh/", "gateway/", "node/", "client/")
    names = [name for name in sources() if name.startswith(packages)]
    found = meanings((one, name) for name in names for one in source(name).types)
    more = {name: count for name, count in found.items() if count > NAMES_LEFT.get(name, 1)}
    assert not more, f"names that several modules give to a type, and how many: {more}"
    fewer = {name: found.get(name, 1) for name, count in NAMES_LEFT.items() if found.get(name, 1) < count}
    assert not fewer, f"NAMES_LEFT allows more than there are (1: take it away): {fewer}"


def test_no_file_refers_to_a_document_that_is_not_here() -> None:
    found = set()
    for name in listed_files():
        if name != "tests/test_tidy.py" and DOCUMENTS.search((ROOT / name).read_text("utf-8", errors="ignore")):
            found.add(name)
    what_to_do = "state the fact or cite the paper, RFC or KIP"
    assert not found, f"refer to a document outside the repository; {what_to_do}: {sorted(found)}"


def test_the_sdk_that_a_node_serves_is_installed_with_it() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    installed = {path for pattern in setuptools["data-files"]["share/whimbrel/sdk"] for path in ROOT.glob(pattern)}
    assert {*(ROOT / "client" / "js").glob("*.js")} == installed
    assert ROOT / "client" / "js" / "whimbrel.js" in installed


def test_every_shell_exists() -> None:
    assert [shell for shell in sorted(SHELLS) if not (ROOT / shell).exists()] == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = []
    for name in listed_files():
        text = (ROOT / name).read_text(encoding="utf-8", errors="ignore")
        found += [f"{name}: {match}" for match in sorted(set(FORBIDDEN_TEXT.findall(text)))]
    assert found == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("mesh/x.py", "import gateway.sessions.session", "mesh/ may not import gateway.sessions.session"),
        ("gateway/x.py", "from node.node import Node", "gateway/ may not import node.node.Node"),
        ("node/x.py", "import whimbrel", "node/ may not import whimbrel"),
        ("loadtest/x.py", "from mesh import log", "loadtest/ may not import mesh.log"),
        ("client/python/whimbrel/x.py", "import mesh.log", "client/python/whimbrel/ may not import mesh.log"),
        ("node/x.py", "import gateway.worker", "node/ may not import gateway.worker"),
        ("node/x.py", "from gateway import worker", "node/ may not import gateway.worker"),
        ("gateway/link/x.py", "from gateway.http import site", "gateway/link/ may not import gateway.http.site"),
        ("loadtest/x.py", "from tests.support import raw", "loadtest/ may not import tests.support.raw"),
        ("mesh/x.py", "if TYPE_CHECKING:\n    import node", "mesh/ may not import node"),
        ("mesh/x.py", "def f():\n    import time", "a core may not import time"),
        ("mesh/x.py", "import random", "only Random from random"),
        ("mesh/x.py", "from websockets.frames import Frame", "a core may not import websockets.frames"),
        ("gateway/x.py", "from websockets.asyncio import server", "a core may not import websockets.asyncio"),
        ("node/x.py", "from node.kafka.embedded import EmbeddedKafka", "the shell node/kafka/embedded.py"),
        ("node/x.py", "from node.demo import producer", "the shell node/demo/producer.py"),
        ("mesh/x.py", "print(1)", "a core may not call print()"),
        ("mesh/x.py", "a = {hash('b')}", "a core may not call hash()"),
        ("mesh/x.py", "import datetime as d\nd.datetime.now()", "a core may not call d.datetime.now()"),
        ("client/python/whimbrel/x.py", "from . import blocking", "the shell client/python/whimbrel/blocking.py"),
        ("node/x.py", '"""x"""\n' * 601, "601 lines"),
        ("tests/x.py", "def f():\n" + "    pass\n" * 70, "f() has 71 lines"),
        ("tests/x.py", "x = 1", "no docstring"),
    ],
)
def test_a_broken_rule_is_found(name: str, text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems_of(Source(name, text)))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mesh/x.py", "from random import Random"),
        ("gateway/x.py", "from websockets.frames import Frame"),
        ("node/commands/x.py", "import time, whimbrel"),
        ("node/x.py", "from gateway.link import events"),
        ("client/python/whimbrel/x.py", "from . import session"),
        ("tests/x.py", "\n" * 550),
    ],
)
def test_a_kept_rule_is_not_found_broken(name: str, text: str) -> None:
    text = f'"""x"""\n{text}'
    assert problems_of(Source(name, text)) == []


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert circles({"a": ["b"], "b": ["c", "d"], "c": ["b"], "d": ["e"], "e": ["d"], "f": ["a"]}) == [
        {"b", "c"},
        {"d", "e"},
    ]


def test_imports_for_type_checkers_count() -> None:
    text = "if TYPE_CHECKING:\n    from mesh import log\ndef f():\n    from mesh.loop import Loop"
    found = Source("mesh/x.py", text).imports
    assert sorted((module, name) for _, module, name in found) == [("mesh", "log"), ("mesh.loop", "Loop")]


def test_names_of_classes_and_of_aliases_are_seen() -> None:
    text = "class A:\n    pass\nB: TypeAlias = int\nc: int = 1\nD = 2"
    assert sorted(Source("mesh/x.py", text).types) == ["A", "B"]


def test_names_with_several_meanings_are_counted() -> None:
    frames, gateway_frames = ONE_MEANING
    classes = [
        ("A", "a.py"),
        ("A", "b.py"),
        ("A", "c.py"),
        ("B", "a.py"),
        ("B", "a.py"),
        ("_C", "a.py"),
        ("_C", "b.py"),
    ]
    assert meanings([*classes, ("Ping", frames), ("Ping", gateway_frames)]) == {"A": 3}
    assert meanings([("Ping", frames), ("Ping", gateway_frames), ("Ping", "a.py")]) == {"Ping": 2}


def test_documents_outside_are_found() -> None:
    for text in ("(DESIGN 4)", "see mesh.md 6.2", "models.md", "peers.md, 3", "DESIGN.md"):
        assert DOCUMENTS.search(text)
    for text in ("mesh/README.md", "by design", "DESIGNS", "client/PROTOCOL.md"):
        assert not DOCUMENTS.search(text)


def test_forbidden_text_is_found() -> None:
    for text in (
        "https://pypi" + ".org/simple",
        "/" + "root/.cache",
        "/" + "home/ann/x",
        "https://repo1" + ".maven.org",
    ):
        assert FORBIDDEN_TEXT.search(text)
