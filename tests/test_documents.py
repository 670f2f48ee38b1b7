"""What the documents say is so: links lead somewhere, commands parse, examples run, figures are the benchmark's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import cli
from node.kafka.embedded import EmbeddedKafka
from tests.support.node import RunningNode

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *(
        "README.md",
        "ARCHITECTURE.md",
        "OPERATIONS.md",
        "SECURITY.md",
        "gateway/authorizers/README.md",
        "node/audit/README.md",
        "mesh/README.md",
        "loadtest/README.md",
        "loadtest/SCALE.md",
    ),
    *("client/PROTOCOL.md", "client/python/README.md", "client/js/README.md", "node/settings/REFERENCE.md"),
]
FILES_OF_A_WAY_MAX = 8


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language; of none if it is empty."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M)


def commands() -> Iterator[list[str]]:
    """What a reader is told to type, without comments."""
    import shlex

    for block in blocks(README, ""):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_the_readme_is_for_ten_minutes() -> None:
    lines = README.splitlines()
    assert len(lines) <= 200
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file, _, mark = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), target
        if mark:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.M)
            assert mark in map(anchor, headings), target


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "OPERATIONS.md", "SECURITY.md"])
def test_files_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:mesh|gateway|node|client|loadtest|tests)/[\w./-]*)`", text)
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_way_of_a_message_has_few_files() -> None:
    section = ARCHITECTURE.partition("## A message's way")[2].partition("\n## ")[0]
    table, *others = re.split(r"\n\n(?=A resume|A publish)", section)
    for way in (table, *others):
        text = way.partition("In a namespace")[0]
        # Of a table what stands first in a row does something; what stands in brackets only carries the message on.
        files = re.findall(r"^\| (`[\w/]+/\w+\.py`) \|", text, re.M) or re.findall(r"`[\w/]+/\w+\.py`", text)
        assert 3 <= len(set(files)) <= FILES_OF_A_WAY_MAX


def test_commands_of_the_readme_parse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    key = tmp_path / "cluster.key"
    key.write_text("k" * 32)
    parser = cli.whole_parser()
    seen = set()
    for name, *rest in commands():
        seen.add(name)
        if name == "make":
            assert {*rest} <= {*targets}
        elif name == "whimbrel":
            rest = [word for word in rest[: rest.index(">") if ">" in rest else None] if word != "--config"]
            parser.parse_args([word for word in rest if not word.endswith(".toml")])
            if rest[0] == "node":
                flags = [str(key) if word == "cluster.key" else word for word in rest[1:]]
                assert cli.run(["check-config", *flags]) == 0, capsys.readouterr().err
    assert {"make", "whimbrel"} <= seen


def test_figures_have_the_names_of_the_benchmark() -> None:
    table = README.partition("## Figures")[2].partition("\n## ")[0]
    names = re.findall(r"^\|[^|]*\| `([\w.]+)` \|", table, re.M)
    rows = set(re.findall(r"`([a-z_]+\.\w+)`", (ROOT / "loadtest" / "README.md").read_text(encoding="utf-8")))
    assert len(names) >= 5
    assert not {*names} - rows


def test_the_settings_that_documents_name_exist() -> None:
    from node.settings.keys import SECTIONS, key_at

    for text in (README, ARCHITECTURE, (ROOT / "OPERATIONS.md").read_text(encoding="utf-8")):
        for path in re.findall(rf"`((?:{'|'.join(SECTIONS)})\.\w+)", text):
            assert key_at(path) is not None or path.endswith(".py"), path


@pytest.mark.slow
def test_the_example_in_python_runs(tmp_path: Path) -> None:
    (program,) = blocks(README, "python")
    program = program.replace("print(message", "return print(message")  # one is enough
    with (
        EmbeddedKafka({"flights": 1, "notes": 1}) as kafka,
        RunningNode(tmp_path, kafka.bootstrap, "flights,notes", publish="flights,notes") as node,
    ):
        assert cli.run(["publish", "/flights/AA1", "--json", '{"alt": 1}', "--server", node.url]) == 0
        program = program.replace("localhost:8080", f"127.0.0.1:{node.port}")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "/flights/AA1 {'alt': 1}"
