"""What would be published: the packages of both SDKs, built, checked, installed elsewhere and used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.client.test_js_sdk import HERE as JS
from tests.client.test_js_sdk import run
from tests.client.test_js_sdk import sdk as sdk  # a fixture

PYTHON = Path(__file__).parents[2] / "client" / "python"

pytestmark = pytest.mark.slow


# Python.


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(PYTHON, sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PYTHON))
    return folder


def test_the_wheel_has_the_package_its_types_and_its_license(dist: Path) -> None:
    (wheel,) = dist.glob("whimbrel_client-*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    sources = {f"whimbrel/{path.name}" for path in (PYTHON / "whimbrel").glob("*.py")}
    assert {name for name in names if not name.split("/")[0].endswith(".dist-info")} == sources | {"whimbrel/py.typed"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_source_archive_can_be_built_from(dist: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("whimbrel_client-*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    (source,) = tmp_path.iterdir()
    assert {"README.md", "LICENSE", "pyproject.toml"} <= {path.name for path in source.iterdir()}
    run(source, sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path / "again"), ".")


def test_what_is_said_about_it_can_be_shown(dist: Path) -> None:
    said = run(dist, sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir()))
    assert said.count("PASSED") == 2


def test_the_wheel_works_and_is_typed_by_itself(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, whimbrel\n"
        "async def main() -> None:\n"
        "    async with whimbrel.Client('ws://127.0.0.1:1') as client:\n"
        "        subscription: whimbrel.Subscription = await client.subscribe('/t/a', timeout_s=0.05)\n"
        "        async for message in subscription:\n"
        "            number: int = message.json(int)\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except whimbrel.SubscribeTimeoutError as error:\n"
        "    print(whimbrel.__file__, error.reason)\n"
    )
    # Not the source, which an editable installation would give: what is first on the path wins.
    script = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); exec(open({str(program)!r}).read())"
    out = run(tmp_path, sys.executable, "-c", script)
    assert out.startswith(str(tmp_path / "site" / "whimbrel"))
    assert "connection refused" in out
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    checked = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(tmp_path / "site"), "PATH": ""}, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# JavaScript.


@pytest.fixture(scope="module")
def app(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the packed SDK, and sees nothing else of it."""
    folder = tmp_path_factory.mktemp("app")
    (packed,) = json.loads(run(sdk, "npm", "pack", "--json", "--pack-destination", str(folder)))
    (folder / "node_modules").mkdir()
    shutil.unpack_archive(folder / packed["filename"], folder)
    (folder / "package").rename(folder / "node_modules" / "whimbrel")
    for name in ("ws", "typescript", "esbuild", "@esbuild", "@typescript", "@types", "undici-types", "csstype"):
        if (sdk / "node_modules" / name).exists():
            (folder / "node_modules" / name).symlink_to(sdk / "node_modules" / name)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.mark.node_js
def test_the_package_has_what_it_says_and_nothing_of_the_workshop(app: Path) -> None:
    installed = app / "node_modules" / "whimbrel"
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    sources = {path.name for path in JS.glob("*.js")}
    types = {f"types/{name.removesuffix('.js')}.d.ts" for name in sources}
    examples = {f"examples/{path.name}" for path in (JS / "examples").iterdir()}
    assert files == sources | types | examples | {"package.json", "README.md", "API.md", "LICENSE"}
    said = json.loads((installed / "package.json").read_text())
    for target in [said["main"], said["types"], *said["exports"]["."].values(), said["exports"]["./package.json"]]:
        assert (installed / target).is_file(), target
    assert next(iter(said["exports"]["."])) == "types", "who resolves types takes the first condition that matches"


@pytest.mark.node_js
def test_only_what_is_exported_can_be_imported(app: Path) -> None:
    script = (
        "const { Client } = await import('whimbrel'); new Client('ws://127.0.0.1:1').close();"
        "const { default: { version } } = await import('whimbrel/package.json', { with: { type: 'json' } });"
        "const inner = await import('whimbrel/session.js').catch(({ code }) => code);"
        "console.log(version, inner);"
    )
    assert run(app, "node", "--no-warnings", "--input-type=module", "-e", script) == (
        "0.1.0 ERR_PACKAGE_PATH_NOT_EXPORTED\n"
    )


@pytest.mark.node_js
@pytest.mark.parametrize(("module", "resolution"), [("ESNext", "bundler"), ("NodeNext", "nodenext")])
def test_types_are_found_by_bundlers_and_by_node(app: Path, module: str, resolution: str) -> None:
    (app / "usage.ts").write_text((JS / "test" / "usage.ts").read_text())
    options: dict[str, object] = {
        "target": "ES2022",
        "module": module,
        "moduleResolution": resolution,
        "lib": ["ES2022", "DOM"],
    }
    options |= {"strict": True, "noEmit": True, "types": [], "skipLibCheck": False}
    (app / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["usage.ts"]}))
    run(app, "node", str(app / "node_modules" / "typescript" / "bin" / "tsc"), "-p", "tsconfig.json")


@pytest.mark.node_js
def test_a_bundle_for_browsers_needs_nothing_else_and_has_only_what_is_used(app: Path) -> None:
    def bundle(source: str) -> str:
        (app / "entry.js").write_text(source)
        script = (
            "import { build } from 'esbuild'; await build({ entryPoints: ['entry.js'], bundle: true, format: 'esm',"
            " platform: 'browser', outfile: 'out.js', logLevel: 'warning' });"
        )
        assert run(app, "node", "--input-type=module", "-e", script) == ""
        return (app / "out.js").read_text()

    whole = bundle("import { Client } from 'whimbrel'; new Client(location.origin);")
    assert "require(" not in whole.replace("createRequire(", "")
    assert "class Session" in whole or "Session = class" in whole
    part = bundle("import { subjectOf } from 'whimbrel'; console.log(subjectOf('t', 'k'));")
    assert "Session" not in part
    assert len(part) < len(whole) / 3
