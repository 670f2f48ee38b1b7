"""What is said about a wrong configuration, word for word."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.audit.loading import BUILT_IN
from node.settings import Effective, Settings, load
from node.settings.keys import KEYS
from node.settings.layers import NOT_SETTINGS, variable
from node.settings.relations import AT_MOST, AUDITORS, REFUSED, covers, warnings

TOPIC = "a Kafka topic (1 to 249 of a-z A-Z 0-9 . _ -) or a pattern of these with * and ?"


def problems(effective: Effective) -> list[str]:
    return [str(problem) for problem in effective.problems]


def of_text(tmp_path: Path, text: str) -> list[str]:
    """Problems of a file, named whimbrel.toml for short."""
    path = tmp_path / "whimbrel.toml"
    path.write_text(text)
    return [line.replace(str(path), "whimbrel.toml") for line in problems(load(str(path), {}, []))]


def of_sets(*sets: str) -> list[str]:
    return problems(load(None, {}, [("--set", text) for text in sets]))


def test_all_mistakes_are_told_at_once_with_file_line_key_found_and_expected(tmp_path: Path) -> None:
    path = tmp_path / "whimbrel.toml"
    path.write_text(
        """\
[cache]
ttl = "10 minuts"
tttl = 3
bytes = "1GiB"

[kafka]
sasl.password = "x"
client = { security.protocol = "sasl_ssl" }
[kafka.consumer]
enable.auto.commit = true
fetch.min.bytes = [
  1,
]
[node]
listen = "8080"
servers = [
  "ws://a/v1/ws",
  "http://b",
]
[client]
hello_timeout = "30s"
[[topics]]
name = "a*"
value = "xml"
[[topics]]
name = "b"
pubish = true
[[topics]]
value = "text"
[autorizer]
use = "x"
"""
    )
    environment = {"WHIMBREL_CAHCE_TTL": "5", "WHIMBREL_CACHE_BYTES": "12XB", "HOME": "/", "OTHER_CACHE_TTL": "x"}
    flags = [("--workers", "two"), ("--set", "replay.concurrency=0"), ("--publish", "a b"), ("--set", "x")]
    found = "\n".join(problems(load(str(path), environment, flags))).replace(str(path), "whimbrel.toml")
    assert (
        found
        == f"""\
whimbrel.toml:2: cache.ttl: found "10 minuts", expected a duration above 0, up to 3650d, written as "1h30m", \
"500ms" or 2.5 (seconds)
whimbrel.toml:3: cache.tttl: unknown key; did you mean cache.ttl?
whimbrel.toml:7: kafka.sasl: unknown key; properties of librdkafka stand below kafka.client, kafka.consumer and \
kafka.producer
whimbrel.toml:11: kafka.consumer.fetch.min.bytes: found [1], expected a string, a number, true or false
whimbrel.toml:15: node.listen: found "8080", expected HOST:PORT, such as 127.0.0.1:8080
whimbrel.toml:16: node.servers: found ["ws://a/v1/ws", "http://b"], expected a list of WebSocket addresses, such as \
wss://a.example.com/v1/ws
whimbrel.toml:24: topics[0].value: found "xml", expected one of "json", "text", "bytes"
whimbrel.toml:27: topics[1].pubish: unknown key; did you mean topics[1].publish?
whimbrel.toml:28: topics[2].name: missing, expected {TOPIC}
whimbrel.toml:30: autorizer: unknown key; did you mean authorizer?
WHIMBREL_CACHE_BYTES: cache.bytes: found "12XB", expected a size from 64KiB to 1TiB, written as "512MiB", "1MB" \
or 4096 (bytes)
WHIMBREL_CAHCE_TTL: no such key of the configuration; did you mean WHIMBREL_CACHE_TTL?
--workers: node.workers: found "two", expected a whole number from 0 to 1024
--set: replay.concurrency: found "0", expected a whole number from 1 to 64
--set: found "x", expected KEY=VALUE, such as cache.ttl=5m
whimbrel.toml:21: client.hello_timeout: found "30s", expected at most client.heartbeat, which is "20s" (default): \
a connection must not be silent for longer
whimbrel.toml:10: kafka.consumer.enable.auto.commit: cannot be set: the node commits no offsets: it reads from where \
its cache ends"""
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = ", "not TOML: Invalid value (at end of document)"),
        (b"[node]\n\nname = 'a'\nname = 'b'\n", "not TOML: Cannot overwrite a value (at line 4, column 11)"),
        (b"name = '\xff'", "not UTF-8: invalid start byte at byte 8"),
    ],
)
def test_a_file_that_is_no_toml_is_said_to_be_none(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    effective = load(str(path), {"WHIMBREL_NODE_WORKERS": "-1"}, [])
    assert problems(effective) == [
        f"{path}: {expected}",
        'WHIMBREL_NODE_WORKERS: node.workers: found "-1", expected a whole number from 0 to 1024',
    ]


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    assert problems(load(str(tmp_path / "none"), {}, [])) == [
        f"{tmp_path / 'none'}: cannot be read: No such file or directory"
    ]
    assert problems(load(None, {"WHIMBREL_CONFIG": str(tmp_path)}, [])) == [
        f"{tmp_path}: cannot be read: Is a directory"
    ]


def test_a_file_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"[cache]\r\nttl = '3m'\r\nbytes = 1\r\n")
    effective = load(str(path), {}, [])
    assert effective.settings.cache.ttl_s == 180
    assert problems(effective)[0].startswith(f"{path}:3: cache.bytes: found 1, expected a size from 64KiB")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cache = 5", "whimbrel.toml:1: cache: found 5, expected a table [cache]"),
        ("[[cache]]", "whimbrel.toml:1: cache: found [{}], expected a table [cache]"),
        ("topics = ['a']", 'whimbrel.toml:1: topics: found ["a"], expected tables [[topics]], each with a name'),
        (
            "[topics]\nname = 'a'",
            'whimbrel.toml:1: topics: found { name = "a" }, expected tables [[topics]], each with a name',
        ),
        ("kafka.client = 'x'", 'kafka.client: found "x", expected a table [kafka.client]'),
        ("ttl = '5m'", "whimbrel.toml:1: ttl: unknown key; did you mean cache.ttl?"),
        ("[cache]\nheartbeat = 5", "whimbrel.toml:2: cache.heartbeat: unknown key; did you mean client.heartbeat?"),
        ("[zzz]\na = 1", "whimbrel.toml:1: zzz: unknown key"),
        ("[nod]\na = 1", "whimbrel.toml:1: nod: unknown key; did you mean node?"),
        ("[cluster]\njion = 1", "cluster.jion: unknown key; did you mean cluster.join?"),
        ("[[topics]]\nname = 'a/b'", f'whimbrel.toml:2: topics[0].name: found "a/b", expected {TOPIC}'),
        ("[[topics]]\nname = '..'", f'whimbrel.toml:2: topics[0].name: found "..", expected {TOPIC}'),
        ("[[topics]]\nname = ''", f'whimbrel.toml:2: topics[0].name: found "", expected {TOPIC}'),
        (
            "[[topics]]\nname = 'a'\npublish = 'yes'",
            'whimbrel.toml:3: topics[0].publish: found "yes", expected true or false',
        ),
        ("[cache]\nttl = 0", "cache.ttl: found 0, expected a duration above 0"),
        ("[cache]\nttl = -1", "cache.ttl: found -1, expected a duration above 0"),
        ("[cache]\nttl = nan", "cache.ttl: found nan, expected a duration above 0"),
        ("[cache]\nttl = inf", "cache.ttl: found inf, expected a duration above 0"),
        ("[cache]\nttl = true", "cache.ttl: found true, expected a duration above 0"),
        ("[cache]\nttl = 2024-01-01", "cache.ttl: found 2024-01-01, expected a duration above 0"),
        ("[cache]\nttl = '4000d'", 'cache.ttl: found "4000d", expected a duration above 0, up to 3650d'),
        ("[cache]\nbytes = 1.5e6", "cache.bytes: found 1500000.0, expected a size"),
        ("[cache]\nbytes = true", "cache.bytes: found true, expected a size"),
        ("[node]\nworkers = true", "node.workers: found true, expected a whole number from 0 to 1024"),
        ("[node]\nworkers = 1.0", "node.workers: found 1.0, expected a whole number from 0 to 1024"),
        ("[node]\nname = 3", "node.name: found 3, expected 1 to 64 characters of a-z A-Z 0-9 . _ -"),
        ("[node]\nname = 'a b'", 'node.name: found "a b", expected 1 to 64 characters of a-z A-Z 0-9 . _ -'),
        ("[node]\nrun_dir = 3", "node.run_dir: found 3, expected a string"),
        ("[node]\norigins = 'x'", 'node.origins: found "x", expected a list of origins'),
        ("[node]\norigins = ['https://a/b']", 'node.origins: found ["https://a/b"], expected a list of origins'),
        ("[node]\nservers = [1]", "node.servers: found [1], expected a list of WebSocket addresses"),
        ("[node]\nlisten = ':80'", 'node.listen: found ":80", expected HOST:PORT'),
        ("[node]\nlisten = 'a:70000'", 'node.listen: found "a:70000", expected HOST:PORT'),
        ("[node]\nlisten = '::1:80'", 'node.listen: found "::1:80", expected HOST:PORT'),
        ("[kafka]\nbootstrap = 'a:1,,b'", 'kafka.bootstrap: found "a:1,,b", expected HOST:PORT'),
        ("[kafka]\nbootstrap = 'localhost'", 'found "localhost", expected HOST:PORT, such as kafka-1:9092, several'),
        ("[kafka]\nbootstrap = 'a:1,'", 'kafka.bootstrap: found "a:1,", expected HOST:PORT'),
        ("[kafka]\nbootstrap = 'a:70000,b:1'", 'kafka.bootstrap: found "a:70000,b:1", expected HOST:PORT'),
        ("[kafka]\nbootstrap = ['a:1']", 'kafka.bootstrap: found ["a:1"], expected HOST:PORT'),
        ("[log]\nlevel = 'INFO'", 'log.level: found "INFO", expected one of "debug", "info", "warning", "error"'),
        ("[authorizer]\nuse = 'a b'", 'authorizer.use: found "a b", expected the name of an entry point'),
        (f"[node]\nname = '{'x' * 200}'", f'node.name: found "{"x" * 76}..., expected 1 to 64'),
    ],
)
def test_one_mistake_is_one_problem_with_the_words_for_it(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = of_text(tmp_path, text)
    assert expected in found
    assert found.startswith("whimbrel.toml:")


@pytest.mark.parametrize("text", ["[nothing]\na = 1", "[cluster]\nnothing = 1"])
def test_a_key_that_is_not_like_any_is_not_taken_for_one(tmp_path: Path, text: str) -> None:
    (found,) = of_text(tmp_path, text)
    assert found.endswith("nothing: unknown key")


@pytest.mark.parametrize("path", [path for path, key in KEYS.items() if not key.kind.is_open])
@pytest.mark.parametrize("wrong", [5j, None, [[]], {"a": 1}])
def test_every_key_refuses_what_it_cannot_be_and_says_what_it_can(path: str, wrong: object) -> None:
    key = KEYS[path]
    with pytest.raises(ValueError):
        key.read(wrong)
    assert key.kind.expected


def test_secrets_are_not_told_even_when_they_are_wrong() -> None:
    secrets = ["kafka.client.sasl.password=hush\0", "kafka.client.ssl.key.pem:hush", "authorizer.tokn"]
    found = of_sets(*secrets)
    assert len(found) == 3
    assert not [line for line in found if "hush" in line]
    assert found[0] == '--set: kafka.client.sasl.password: found "***", expected a string, a number, true or false'


def test_of_our_own_keys_one_is_a_secret() -> None:
    from node.settings.keys import is_secret

    assert [path for path in KEYS if is_secret(path)] == ["admin.token", "cluster.key"]
    for secret in ("sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"):
        assert is_secret(f"kafka.client.{secret}")
    for secret in ("key", "hs256_key", "token", "client_secret", "Password"):
        assert is_secret(f"authorizer.{secret}")
    for shown in ("sasl.username", "ssl.key.location", "client.id", "security.protocol"):
        assert not is_secret(f"kafka.client.{shown}")


@pytest.mark.parametrize(("lesser", "greater", "why"), AT_MOST)
def test_relations_between_values_are_checked(lesser: str, greater: str, why: str) -> None:
    def problem(less: int, more: int) -> list[str]:
        found = of_sets(f"{lesser}={less}", f"{greater}={more}")
        return [line for line in found if f"expected at most {greater}, which is " in line]

    most = 120 if "a size" not in KEYS[greater].kind.expected else 4096
    assert problem(most, most) == []
    (line,) = problem(most + 1, most)
    assert line.startswith(f"--set: {lesser}: found ")
    assert line.endswith(f" (--set): {why}")


def test_a_relation_is_not_checked_with_a_value_that_is_wrong_itself() -> None:
    assert len(of_sets("client.hello_timeout=1h", "client.heartbeat=soon")) == 1


@pytest.mark.parametrize(
    ("topics", "unreachable"),
    [
        ("a,b", None),
        ("a,a", '"a" does not match'),
        ("*,a", '"*" does not match'),
        ("a,*", None),
        ("a*,ab*", '"a*" does not match'),
        ("a?,ab", '"a?" does not match'),
        ("a?,a*", None),
        ("a?,a?", '"a?" does not match'),
        ("a.*,ab", None),
    ],
)
def test_an_entry_that_can_never_be_used_is_a_mistake(topics: str, unreachable: str | None) -> None:
    found = problems(load(None, {"WHIMBREL_TOPICS": topics}, []))
    assert len(found) == (unreachable is not None)
    assert all("WHIMBREL_TOPICS: topics[1].name: found" in line and str(unreachable) in line for line in found)


@given(*[st.text("ab*?", min_size=1, max_size=4)] * 2, st.text("ab", max_size=6))
def test_a_pattern_covers_another_only_if_it_matches_all_that_the_other_matches(
    pattern: str, other: str, name: str
) -> None:
    from fnmatch import fnmatchcase

    if covers(pattern, other) and fnmatchcase(name, other):
        assert fnmatchcase(name, pattern)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("table", ["client", "consumer", "producer"])
def test_what_is_the_nodes_own_business_cannot_be_set(table: str, name: str) -> None:
    assert of_sets(f"kafka.{table}.{name}=1") == [f"--set: kafka.{table}.{name}: cannot be set: {REFUSED[name]}"]


def test_what_a_node_needs_is_missing_unless_given_or_wrong() -> None:
    assert [str(problem) for problem in load(None, {}, []).missing()] == [
        "kafka.bootstrap: not given, expected the brokers to read from: --kafka HOST:PORT, or WHIMBREL_KAFKA_BOOTSTRAP",
        "topics: not given, expected the topics that clients may use: --topics NAME,..., WHIMBREL_TOPICS, "
        "or [[topics]] with a name; or, without Kafka, --namespaces NAME,...",
    ]
    assert not load(None, {}, [("--kafka", "a:1"), ("--topics", "a")]).missing()
    assert not load(None, {}, [("--kafka", "a b"), ("--topics", "a b")]).missing(), "told once"


@pytest.mark.parametrize(
    "name",
    [
        *sorted(NOT_SETTINGS),
        "WHIMBREL_SERVICE_HOST",
        "WHIMBREL_SERVICE_PORT",
        "WHIMBREL_SERVICE_PORT_HTTP",
        "WHIMBREL_PORT",
        "WHIMBREL_PORT_8080_TCP",
        "WHIMBREL_PORT_8080_TCP_ADDR",
        "WHIMBREL_DEV_SERVICE_HOST",
        "whimbrel_cache_ttl",
    ],
)
def test_variables_that_are_not_ours_or_not_settings_are_left_alone(name: str) -> None:
    effective = load(None, {name: "" if name == "WHIMBREL_CONFIG" else "x"}, [])
    assert not effective.problems
    assert not effective.sources


@pytest.mark.parametrize(
    "name", ["WHIMBREL_", "WHIMBREL_CACHE", "WHIMBREL_KAFKA_CLIENT", "WHIMBREL_KAFKA_CLIENT_", "WHIMBREL_X"]
)
def test_any_other_variable_of_ours_is_a_mistake(name: str) -> None:
    assert len(problems(load(None, {name: "x"}, []))) == 1


def test_a_variable_that_is_not_text_is_a_mistake() -> None:
    for path in ("node.run_dir", "kafka.client.client.id", "node.name"):
        assert len(problems(load(None, {variable(path): "\udcff"}, []))) == 1


def test_exposure_without_authorization_is_warned_of_loudly() -> None:
    def of(listen: str, *flags: tuple[str, str]) -> list[str]:
        return warnings(load(None, {}, [("--listen", listen), *flags]).settings)

    for loopback in ("127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"):
        assert of(loopback) == []
    for exposed in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"):
        (text,) = of(exposed, ("--topics", "a,b,c"), ("--publish", "b,c"))
        assert "OTHERS CAN REACH THIS NODE WITHOUT AUTHORIZATION" in text
        assert f"listens on {exposed}" in text
        assert "publish into b, c." in text
    assert of("0.0.0.0:1", ("--set", "authorizer.use=my.module:Class")) == []


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(AttributeError):
        Settings().cache.ttl_s = 1.0  # type: ignore[misc]


def test_every_default_is_valid() -> None:
    assert problems(load(None, {}, [])) == []
    for key in KEYS.values():
        if key.default is not msgspec.NODEFAULT and not key.kind.is_open:
            default = list(key.default) if isinstance(key.default, tuple) else key.default
            assert key.read(default) == key.default


def test_options_of_an_authorizer_that_is_not_named_are_no_protection(tmp_path: Path) -> None:
    text = '[[namespaces]]\nname = "chat"\n[authorizer]\nsecret = "x"\n'
    expected = "expected authorizer.use to say of which: without it everybody may do everything"
    assert of_text(tmp_path, text) == [
        f"whimbrel.toml:4: authorizer.secret: found an option of an authorizer, {expected}"
    ]
    assert not of_text(tmp_path, text + 'use = "jwt"\n')
    assert not of_text(tmp_path, text + 'use = "allow_all"\n'), "somebody has said so"


def test_options_that_no_auditor_takes_are_told(tmp_path: Path) -> None:
    text = """[[namespaces]]
name = "chat"
[audit]
use = ["log", "mine:Own"]
evnets = ["access"]
[audit.log]
file = "x"
[audit.kafka]
topic = "not used now"
[audit."mine:Own"]
file = "x"
[audit.lgo]
file = "x"
"""
    expected = "found what nobody takes, expected a key of [audit], or the table of an auditor that audit.use names"
    assert of_text(tmp_path, text) == [
        f"whimbrel.toml:5: audit.evnets: {expected}",
        f"whimbrel.toml:12: audit.lgo: {expected}",
    ]
    assert "--set: audit.lgo: " + expected in of_sets("namespaces=chat", "audit.use=log", "audit.lgo.file=x")
    assert {*AUDITORS} == {*BUILT_IN}
