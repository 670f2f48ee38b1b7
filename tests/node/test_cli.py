"""The command line as a user meets it: help, exit codes, and configuration errors."""

import json
import re
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node import cli
from node.commands import configuration
from node.settings import Settings
from node.settings.schema import TlsSettings
from node.settings.worker import gateway_settings
from node.workers import with_whole_paths
from tests.gateway.authorizers.signing import EC, RSA, SECRET, pem

HEAVY = {"confluent_kafka", "gevent", "zmq", "msgspec", "websockets", "asyncio", "node.settings", "node.main"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("WHIMBREL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.run(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], []):
        code, out, err = outcome(capsys, *arguments)
        assert (code, err) == (0, "")
        for name, summary in cli.COMMANDS.items():
            assert f"\n    {name}" in out
            assert summary in out


@pytest.mark.parametrize(
    "command", ["node", "demo", "keygen", "check-config", "status", "topics", "completion", "capacity", "version"]
)
def test_each_command_has_help_that_says_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert f"usage: whimbrel {command}" in out
    assert len(out.split("\n\n")[1]) > 60, "a description"


def test_help_of_the_node_has_examples_and_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    from node.settings.layers import FLAGS

    _, out, _ = outcome(capsys, "node", "--help")
    for flag in [*FLAGS, "--config", "--topics", "--namespaces", "--publish", "--set"]:
        assert f"\n  {flag} " in out
    assert "whimbrel node --kafka localhost:9092 --topics 'flights,orders.*'" in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("publish", "in a namespace, when the majority of the cluster's voters hold it"),
        ("demo", "three nodes, a, b and c"),
        ("keygen", "(umask 077; whimbrel keygen > cluster.key)"),
        ("node", "umask 077; whimbrel keygen > cluster.key"),
    ],
)
def test_help_says_what_is_so(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = outcome(capsys, command, "--help")
    assert words in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek-config"], "invalid choice: 'chek-config'"),
        (["node", "--nope"], "unrecognized arguments: --nope"),
        (["node", "--topic", "a"], "unrecognized arguments: --topic a"),
        (["publish", "/a/b", "1", "--nope"], "usage: whimbrel publish "),
        (["subscribe", "/a", "--count", "-1"], "argument --count: found '-1', expected a whole number, at least 1"),
        (["subscribe", "/a", "--server", " , "], "argument --server: found ' , ', which is empty"),
        (["publish", "/a/b", "1", "--token", ""], "argument --token: found '', which is empty"),
        (["bench", "a", "--token-file", ""], "argument --token-file: found '', which is empty"),
        (["topics", "--admin", ""], "argument --admin: found '', which is empty"),
        (["status", "--admin-token-file", ""], "argument --admin-token-file: found '', which is empty"),
        (["node", "--kafka"], "argument --kafka: expected one argument"),
        (["demo", "--kafka", "a:1"], "unrecognized arguments: --kafka a:1"),
        (["demo", "--voters", "a"], "unrecognized arguments: --voters a"),
        (["demo", "--name", "x"], "unrecognized arguments: --name x"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = outcome(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_wrong_configuration_ends_with_2_and_tells_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[cache]\nttl = 'x'\n")
    for command in ("node", "check-config"):
        code, out, err = outcome(
            capsys, command, "--config", str(path), "--workers=-1", "--set", "kafka.client.sasl.pasword=x"
        )
        assert (code, out) == (2, "")
        assert err.splitlines()[0] == "whimbrel: 5 mistakes in the configuration"
        assert [line.split(": ")[:2] for line in err.splitlines()[1:]] == [
            [f"  {path}:2", "cache.ttl"],
            ["  --workers", "node.workers"],
            ["  --set", "kafka.client.sasl.pasword"],
            ["  kafka.bootstrap", "not given, expected the brokers to read from"],
            ["  topics", "not given, expected the topics that clients may use"],
        ]
    code, out, err = outcome(capsys, "demo", "--config", str(path))
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "whimbrel: 1 mistake in the configuration"


def test_check_config_prints_the_effective_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[kafka]\nbootstrap = 'a:1'\n[[topics]]\nname = 'flights'\n")
    monkeypatch.setenv("WHIMBREL_CONFIG", str(path))
    monkeypatch.setenv("WHIMBREL_CACHE_TTL", "5m")
    code, out, err = outcome(capsys, "check-config", "--listen", "0.0.0.0:80")
    assert code == 0
    assert err.startswith("whimbrel: warning: OTHERS CAN REACH THIS NODE WITHOUT AUTHORIZATION")
    shown = {" ".join(line.split()) for line in out.splitlines()}
    assert {
        f'bootstrap = "a:1" # {path}:2',
        f'name = "flights" # {path}:4',
        'ttl = "5m" # WHIMBREL_CACHE_TTL',
        'listen = "0.0.0.0:80" # --listen',
        f'name = "{socket.gethostname().partition(".")[0]}" # host name',
    } <= shown
    assert tomllib.loads(out)["cache"]["ttl"] == "5m"


def test_new_keys_are_printed_so_that_they_can_be_used_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [outcome(capsys, "keygen") for _ in range(2)]
    pair = outcome(capsys, "keygen", "--node-key")
    for code, out, err in (*keys, pair):
        assert (code, err) == (0, "")
        assert out.endswith("\n")
    assert len({out for _, out, _ in keys}) == 2
    assert all(len(out) > 40 for _, out, _ in keys)
    (tmp_path / "cluster.key").write_text(keys[0][1])
    (tmp_path / "node.key").write_text(pair[1])
    flags = ["--namespaces", "chat", "--name", "b", "--voters", "b", "--join", "127.0.0.1:7400,127.0.0.1:7402"]
    flags += ["--cluster-listen", "127.0.0.1:7402", "--cluster-key-file", str(tmp_path / "cluster.key")]
    flags += ["--set", f'cluster.node_keys={{ b = "{tomllib.loads(pair[1])["public"]}" }}']
    flags += ["--set", f"cluster.secret_key_file={tmp_path / 'node.key'}"]
    code, out, err = outcome(capsys, "check-config", *flags)
    assert (code, err) == (0, "")
    cluster = tomllib.loads(out)["cluster"]
    assert (cluster["voters"], cluster["join"]) == (["b"], ["127.0.0.1:7400", "127.0.0.1:7402"])
    assert (cluster["listen"], cluster["key_file"]) == ("127.0.0.1:7402", str(tmp_path / "cluster.key"))
    assert tomllib.loads(out)["namespaces"] == [{"name": "chat", "value": "json", "publish": True, "audit": False}]
    assert tomllib.loads(pair[1])["secret"] not in out


def test_a_key_file_that_is_wrong_is_told_by_every_command_that_runs_or_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = str(tmp_path / "none")
    for command in ("node", "check-config"):
        code, _, err = outcome(capsys, command, "--namespaces", "n", "--voters", "a", "--cluster-key-file", none)
        assert code == 2
        assert err.splitlines()[1:] == [
            f'  --cluster-key-file: cluster.key_file: found "{none}", expected a file that can be read: '
            "No such file or directory"
        ]


def test_all_mistakes_are_told_at_once_in_the_order_in_which_they_were_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--namespaces=chat", "--name=a", "--voters=a,b", "--set=cluster.slots=0", "--join=foo"]
    code, _, err = outcome(capsys, "check-config", *flags, "--cluster-key-file=nope")
    assert code == 2
    assert [line.split(": ")[1] for line in err.splitlines()[1:]] == [
        *("cluster.voters", "cluster.slots", "cluster.join", "cluster.key_file"),
    ]
    path = tmp_path / "x.toml"
    path.write_text(
        "[client]\nhello_timeout = '30s'\n[[namespaces]]\nname = 'chat'\n[cluster]\nkey_file = 'nope'\n"
        "jion = []\nvoters = ['a', 'b']\n[nope]\n"
    )
    monkeypatch.setenv("WHIMBREL_CLUSTER_SLOTS", "0")
    code, _, err = outcome(capsys, "check-config", "--config", str(path), "--workers", "x")
    assert [line.strip().replace(str(path), "x.toml").split(": ")[:2] for line in err.splitlines()[1:]] == [
        ["x.toml:2", "client.hello_timeout"],
        ["x.toml:6", "cluster.key_file"],
        ["x.toml:7", "cluster.jion"],
        ["x.toml:8", "cluster.voters"],
        ["x.toml:9", "nope"],
        ["WHIMBREL_CLUSTER_SLOTS", "cluster.slots"],
        ["--workers", "node.workers"],
    ]
    path.write_text("[[namespaces]]\nname = 'chat'\n[cluster]\nvoters = ['a', 'b']\n")
    monkeypatch.delenv("WHIMBREL_CLUSTER_SLOTS")
    _, _, err = outcome(capsys, "check-config", "--config", str(path), "--set", "client.heartbeat=1s")
    assert [line.split(": ")[0:2] for line in err.splitlines()[1:]] == [
        [f"  {path}:4", "cluster.voters"],
        ["  default", "client.hello_timeout"],
        [
            "  cluster.key",
            "not given, expected the cluster's secret, the same on all nodes (whimbrel keygen makes one)",
        ],
    ]


def test_check_config_says_what_holds_where_a_value_leaves_it_open(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    mesh = ["--namespaces", "n", "--name", "a", "--set", f"cluster.key={'k' * 16}"]

    def shown(*flags: str) -> dict[str, str]:
        code, out, err = outcome(capsys, "check-config", *flags)
        assert (code, err) == (0, "")
        assert tomllib.loads(out)["cluster"]["data_dir"] == "", "what is open stays open in the file"
        section, found = "", {}
        for line in out.splitlines():
            section = line.strip("[]") if line.startswith("[") else section
            name, _, rest = line.partition(" = ")
            found[f"{section}.{name}"] = " ".join(rest.split())
        return found

    cluster = shown(*mesh, "--voters", "a,b,c")
    assert cluster["cluster.listen"] == '"" # default, that is "127.0.0.1:7400"'
    assert cluster["cluster.advertise"] == '"" # default, that is "127.0.0.1:7400"'
    assert cluster["cluster.data_dir"] == '"" # default, that is "/s/whimbrel/whimbrel/a"'
    assert cluster["cluster.voters"] == '["a", "b", "c"] # --voters'
    assert cluster["node.workers"] == "0 # default, that is 3"
    listening = shown(*mesh, "--cluster-listen", "h:9", "--workers", "5", "--set", "cluster.data_dir=")
    assert listening["cluster.listen"] == '"h:9" # --cluster-listen'
    assert listening["cluster.advertise"] == '"" # default, that is "h:9"'
    assert listening["cluster.data_dir"] == '"" # --set', "a node alone has nothing to promise"
    assert listening["cluster.voters"] == '[] # default, that is ["a"]'
    assert listening["node.workers"] == "5 # --workers"
    assert shown(*mesh)["cluster.listen"] == '"" # default'


def test_what_a_file_that_cannot_be_read_may_have_said_is_not_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[kafka\n")
    for name in (path, tmp_path / "none.toml"):
        code, _, err = outcome(capsys, "check-config", "--config", str(name))
        assert code == 2
        assert [line.split(": ")[0] for line in err.splitlines()] == ["whimbrel", f"  {name}"]


def test_the_configuration_in_the_readme_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (Path(cli.__file__).parents[1] / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        path = tmp_path / "whimbrel.toml"
        path.write_text(block)
        code, out, err = outcome(capsys, "check-config", "--config", str(path))
        assert (code, err) == (0, "")
        assert tomllib.loads(block).get("kafka", {}).items() <= tomllib.loads(out)["kafka"].items()


def test_a_mapping_that_cannot_be_used_and_a_class_that_is_not_there_are_told_with_all_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--kafka", "k:1", "--namespaces", "chat", "--topics", "a*,ab,chat,b c"]
    flags += ["--set", "cache.ttl=soon", "--set", "authorizer.use=no.such:Thing"]
    code, _, err = outcome(capsys, "check-config", *flags)
    assert code == 2
    assert sorted(line.split(": ")[1] for line in err.splitlines()[1:]) == [
        "authorizer.use", "cache.ttl", "topics[1].name", "topics[2].name", "topics[3].name",
    ]  # fmt: skip
    for told in ("ModuleNotFoundError", 'the earlier "a*"', "not that of namespaces[0]"):
        assert told in err


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("json:JSONDecoder", "not a class derived from whimbrel_server.Authorizer"),
        ("json:loads", "not a class"),
        ("json:x", "no authorizer 'json:x': "),
        ("json:x", "json/__init__.py has no 'x'"),
        ("no_such_module:X", "no authorizer 'no_such_module:X': no module 'no_such_module' on Python's path"),
        ("nobody", "not built in (allow_all"),
    ],
)
def test_the_class_of_an_authorizer_must_be_one(use: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = outcome(capsys, "check-config", "--namespaces", "chat", "--set", f"authorizer.use={use}")
    assert code == 2
    assert told in err


def test_an_authorizer_is_made_from_the_folder_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ours_to_check.py").write_text(
        "from whimbrel_server import Authorizer\n"
        "class Ours(Authorizer):\n"
        "    def __init__(self, level):\n"
        "        self.level = level + 0\n"
    )
    config = tmp_path / "w.toml"
    for level, told in ((1, ""), ("'high'", "the authorizer 'ours_to_check:Ours' could not be made: TypeError")):
        config.write_text(f"[[namespaces]]\nname='chat'\n[authorizer]\nuse='ours_to_check:Ours'\nlevel={level}\n")
        code, _, err = outcome(capsys, "check-config", "--config", str(config))
        assert (code, told in err, ":4: authorizer.use: " in err) == ((2, True, True) if told else (0, True, False)), (
            err
        )


def test_files_of_an_auditor_are_found_from_where_the_node_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("check-config", "--namespaces", "chat", "--set", "audit.use=log", "--set", "audit.log.file=audit.jsonl")
    code, _, err = outcome(capsys, *given)
    assert (code, err) == (0, "")
    assert (tmp_path / "audit.jsonl").exists()
    assert not (Path(cli.__file__).parents[1] / "audit.jsonl").exists()


def test_files_for_tls_are_found_from_where_the_node_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(tls=TlsSettings(certificate="chain.pem", key="/etc/key.pem"))
    told = with_whole_paths(gateway_settings(settings, index=0, cluster="c", link="", port=0))
    assert told.certificate == str(tmp_path / "chain.pem")
    assert (told.certificate_key, told.client_ca) == ("/etc/key.pem", "")


JWT = """
[authorizer]
use = "jwt"
audience = "whimbrel"
default = { subscribe = ["/orders/{sub}/*"] }
"""


def test_a_token_is_printed_only_if_the_configured_authorizer_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ec.pem").write_bytes(EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret, public = tmp_path / "secret.toml", tmp_path / "public.toml"
    for config, keys in ((secret, f"secret = '{SECRET}'"), (public, f"pem = '''{pem(RSA)}'''")):
        config.write_text(f"[[namespaces]]\nname = 'orders'\n{JWT}{keys}\n")
    for config, given, told in (
        (secret, ["--subject", "ann", "--both", "/orders/{team}/*", "--claim", "team=red"], ""),
        (secret, ["--subject", "ann", "--subscribe", "orders/*"], "the permission 'orders/*'"),
        (secret, ["--subject", "ann", "--both", "/orders/{team}/*"], "needs the claim 'team'"),
        (secret, ["--subject", "a/b"], "the claim 'sub' is empty or has a slash"),
        (secret, ["--subject", "ann", "--claim", "aud=other"], "would refuse it: token: Audience doesn't match"),
        (secret, ["--subject", "ann", "--ttl", "2d"], "--ttl: found '2d', expected 1d at most (authorizer.token_life)"),
        (secret, ["--subject", "ann", "--ttl", "soon"], "--ttl: found 'soon', expected a duration"),
        (public, ["--subject", "ann", "--key", str(tmp_path / "ec.pem")], "no key of the issuer's for alg 'ES256'"),
    ):
        code, out, err = outcome(capsys, "token", "--config", str(config), *given)
        assert told in err, err
        assert (code, bool(out)) == ((2, False) if told else (0, True)), err


def test_a_token_is_made_for_keys_that_the_node_fetches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ec.pem").write_bytes(EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    config = tmp_path / "w.toml"
    config.write_text(f"[[namespaces]]\nname = 'orders'\n{JWT}jwks_url = 'https://id.example/keys'\n")
    code, out, err = outcome(
        capsys, "token", "--config", str(config), "--subject", "ann", "--key", str(tmp_path / "ec.pem")
    )
    assert (code, out.count("."), err) == (0, 2, "")


def test_a_file_for_a_token_that_is_empty_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("\n")
    code, _, err = outcome(capsys, "publish", "--token-file", str(tmp_path / "token"), "/chat/1", "x")
    assert code == 2
    assert f"--token-file: {tmp_path / 'token'} is empty" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, script, err = outcome(capsys, "completion", shell)
    assert (code, err) == (0, "")
    assert all(name in script for name in (*cli.COMMANDS, "cluster-key-file"))
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
        ask = "COMP_WORDS=(whimbrel sub); COMP_CWORD=1; _shtab_whimbrel whimbrel sub; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True)
        assert done.stdout.split() == ["subscribe"]


def test_check_config_prints_the_defaults_even_when_something_is_still_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = outcome(capsys, "check-config")
    assert code == 2
    assert tomllib.loads(out)["node"]["listen"] == "127.0.0.1:8080"
    assert err.splitlines()[0] == "whimbrel: 2 mistakes in the configuration"


def test_flags_are_read_in_their_order() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    configuration.add_arguments(parser)
    given = ["--set", "a=1", "--name", "n", "--set=b=2", "--topics", ""]
    assert list(parser.parse_args(given).flags) == [
        ("--set", "a=1"),
        ("--name", "n"),
        ("--set", "b=2"),
        ("--topics", ""),
    ]
    assert list(parser.parse_args([]).flags) == []


@pytest.mark.parametrize(
    ("arguments", "module", "function"),
    [
        (["node", "--kafka", "a:1", "--topics", "t", "--name", "x"], "node.main", "run_node"),
        (["node", "--namespaces", "chat", "--name", "x"], "node.main", "run_node"),
        (["demo", "--set", "node.name=x"], "node.demo.run", "run_demo"),
    ],
)
def test_a_right_configuration_is_handed_over(
    arguments: list[str], module: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import types

    given: list[Settings] = []

    def take(settings: Settings) -> int:
        given.append(settings)
        return 7

    stand_in = types.ModuleType(module)
    setattr(stand_in, function, take)
    monkeypatch.setitem(sys.modules, module, stand_in)
    assert cli.run(arguments) == 7
    assert given[0].node.name == "x"


def test_version_tells_of_the_libraries_underneath(capsys: pytest.CaptureFixture[str]) -> None:
    import confluent_kafka
    import zmq

    code, out, _ = outcome(capsys, "version")
    assert outcome(capsys, "--version") == (0, f"whimbrel {version('whimbrel')}\n", "")
    versions = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["librdkafka"] == confluent_kafka.libversion()[0]
    assert versions["libzmq"] == zmq.zmq_version()
    assert {"whimbrel", "whimbrel-client", "gevent"} <= versions.keys()
    assert json.loads(outcome(capsys, "version", "--json")[1]) == versions


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    assert cli.main() == 2
    assert capsys.readouterr().err.startswith("whimbrel needs Python 3.11 or newer; this is ")


def test_interruption_and_a_closed_pipe_end_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    from node.commands import version

    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(version, "run", interrupted)
    assert cli.run(["version"]) == 130


def test_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "node.cli", "check-config", "--kafka=a:1", "--topics=t"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, node.cli\n"
        "try: node.cli.run(['--help'])\n"
        f"except SystemExit: print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
