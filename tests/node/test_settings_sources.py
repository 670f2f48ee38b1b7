"""Where values come from, which of them wins, and how the result is shown."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.link.settings import GatewaySettings, TopicRule
from node.settings import Effective, Settings, gateway_settings, load
from node.settings.effective import effective as put_together
from node.settings.keys import KEYS, Key, toml_text
from node.settings.layers import FLAGS, Layers, variable
from node.settings.lines import lines
from node.settings.show import show


def of_toml(text: str, *flags: tuple[str, str], **environment: str) -> Effective:
    layers = Layers()
    layers.put_file("x.toml", tomllib.loads(text), lines(text))
    layers.put_environment(environment)
    layers.put_flags(flags)
    effective = put_together(layers)
    assert not effective.problems, effective.problems
    return effective


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        "[node]\nname = 'of-file'\nworkers = 1\ndrain = '1s'\n[log]\nformat = 'json'\nlevel = 'error'\n"
        "[kafka.client]\na.b = 1\nc = true\n"
    )
    environment = {"WHIMBREL_NODE_NAME": "of-env", "WHIMBREL_NODE_WORKERS": "2", "WHIMBREL_KAFKA_CLIENT_A_B": "2"}
    effective = load(str(path), environment, [("--name", "of-flag"), ("--set", "log.level=debug")])
    settings = effective.settings
    assert (settings.node.name, effective.source("node.name")) == ("of-flag", "--name")
    assert (settings.node.workers, effective.source("node.workers")) == (2, "WHIMBREL_NODE_WORKERS")
    assert (settings.node.drain_s, effective.source("node.drain")) == (1.0, f"{path}:4")
    assert (settings.node.listen, effective.source("node.listen")) == ("127.0.0.1:8080", "default")
    assert (settings.log.format, effective.source("log.format")) == ("json", f"{path}:6")
    assert (settings.log.level, effective.source("log.level")) == ("debug", "--set")
    assert settings.kafka.client == {"a.b": "2", "c": "true"}
    assert effective.source("kafka.client.a.b") == "WHIMBREL_KAFKA_CLIENT_A_B"
    assert effective.source("kafka.client.c") == f"{path}:10"


def test_the_last_of_two_flags_wins() -> None:
    flags = [("--set", "cache.ttl=1m"), ("--workers", "3"), ("--set", "cache.ttl=2m"), ("--set", "node.workers=4")]
    settings = load(None, {}, flags).settings
    assert (settings.cache.ttl_s, settings.node.workers) == (120.0, 4)


def test_the_flag_for_the_file_wins_over_the_variable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"[node]\nname = '{name}'")
    environment = {"WHIMBREL_CONFIG": str(tmp_path / "a")}
    assert load(None, environment, []).settings.node.name == "a"
    assert load(str(tmp_path / "b"), environment, []).settings.node.name == "b"
    assert load(None, {"WHIMBREL_CONFIG": ""}, []).settings == Settings()


SAMPLES: dict[str, tuple[str, Any]] = {
    "node.listen": ("[::1]:9", "[::1]:9"),
    "kafka.bootstrap": ("a:1, SASL-b:2,[::1]:3", "a:1, SASL-b:2,[::1]:3"),
    "node.servers": ("wss://a/v1/ws, ws://b:80/x/v1/ws,", ("wss://a/v1/ws", "ws://b:80/x/v1/ws")),
    "node.origins": ("*,https://a.b:8443", ("*", "https://a.b:8443")),
    "node.name": ("n-1", "n-1"),
    "cluster.name": ("n-1", "n-1"),
    "cluster.listen": ("[::1]:9", "[::1]:9"),
    "cluster.advertise": ("[::1]:9", "[::1]:9"),
    "cluster.join": ("a:1,[::1]:65534", ("a:1", "[::1]:65534")),
    "cluster.voters": ("a, b,c", ("a", "b", "c")),
    "cluster.key": ("0123456789 abcde", "0123456789 abcde"),
    "cluster.accepted_key_file": ("/etc/a b", "/etc/a b"),
    "cluster.accepted_node_keys": (f'{{ node = "{"k" * 40}" }}', {"node": "k" * 40}),
    "cluster.node_keys": (
        f'{{ node = "{"k" * 40}", "n.2" = "{"=" * 40}" }}',
        {"node": "k" * 40, "n.2": "=" * 40},
    ),
    "authorizer.use": ("mine", "mine"),
    "kafka.oauth": ("my.tokens:token", "my.tokens:token"),
    "kafka.oauth_folder": ("/etc/a b", "/etc/a b"),
    "audit.use": ("log, mine", ("log", "mine")),
    "audit.events": ("access,stats", ("access", "stats")),
    "authorizer.folder": ("/etc/a b", "/etc/a b"),
    "authorizer.headers": ("X-User, a", ("X-User", "a")),
    "authorizer.cookies": ("session,", ("session",)),
    "node.console": ("true", True),
    "node.trusted_proxies": ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
    "node.forwarded_by": ("forwarded", "forwarded"),
    "node.path": ("/push/a", "/push/a"),
    "tls.certificate": ("/etc/a b", "/etc/a b"),
    "limits.address_connects": ("2/s", "2/s"),
    "limits.identity_connects": ("2/s", "2/s"),
    "limits.publishes": ("2.5/s burst 9", "2.5/s burst 9"),
    "limits.subscribes": ("2/s", "2/s"),
    "limits.bytes": ("2/s", "2/s"),
    "tls.key": ("/etc/a b", "/etc/a b"),
    "tls.client_ca": ("/etc/a b", "/etc/a b"),
    "tls.client_certificates": ("required", "required"),
    "admin.listen": ("unix:/run/a.sock", "unix:/run/a.sock"),
    "admin.token": ("0123456789 abcde", "0123456789 abcde"),
    "admin.token_file": ("/etc/a b", "/etc/a b"),
    "node.run_dir": ("/run/a b", "/run/a b"),
    "cluster.key_file": ("/etc/a b", "/etc/a b"),
    "cluster.secret_key_file": ("a.key", "a.key"),
    "cluster.data_dir": ("/var/x", "/var/x"),
    "cluster.controls": ("true", True),
    "kafka.read": ("direct", "direct"),
    "log.format": ("json", "json"),
    "log.level": ("error", "error"),
    "client.subject_bytes": ("64KiB", 65536),
    "cache.table_bytes": ("2MiB", 2 << 20),
}
NEEDS_MORE = re.compile(r"expected at most|as cluster\.accepted_node_keys is given")
"""What is said of a key that is alone, and would not be with others."""
LEAVES = [key for key in KEYS.values() if not key.kind.is_open and key.section not in ("topics", "namespaces")]


def sample(key: Key) -> tuple[str, Any]:
    if key.path in SAMPLES:
        return SAMPLES[key.path]
    if "a size" in key.kind.expected:
        return "100KiB", 102400
    return ("90s", 90.0) if isinstance(key.default, float) else ("7", 7)


@pytest.mark.parametrize("path", [key.path for key in LEAVES])
def test_every_key_can_be_set_from_everywhere_and_is_then_different(path: str, tmp_path: Path) -> None:
    key = KEYS[path]
    text, value = sample(key)
    file = tmp_path / "x.toml"
    file.write_text(f"[{key.section}]\n{key.name} = {toml_text(value)}\n")
    ways: list[tuple[Effective, str]] = [
        (load(str(file), {}, []), f"{file}:2"),
        (load(None, {variable(path): text}, []), variable(path)),
        (load(None, {}, [("--set", f"{path}={text}")]), "--set"),
    ]
    ways += [(load(None, {}, [(flag, text)]), flag) for flag, of in FLAGS.items() if of == path]
    for effective, source in ways:
        assert not [problem for problem in effective.problems if not NEEDS_MORE.search(problem.text)]
        assert key.get(effective.settings) == value != key.get(Settings())
        found_with_it = {"kafka.oauth_folder"} - {path}  # of a module: the folder of the file
        assert {one: said for one, said in effective.sources.items() if one not in found_with_it} == {path: source}


def test_properties_of_kafka_are_text_whatever_they_were() -> None:
    effective = of_toml(
        """
        [kafka.client]
        security.protocol = "sasl_ssl"
        "sasl.username" = "u"
        [kafka.consumer]
        fetch.min.bytes = 5
        check.crcs = true
        [kafka.producer]
        linger.ms = 2.5
        """,
        WHIMBREL_KAFKA_CLIENT_SASL_PASSWORD="p=,q",
        WHIMBREL_KAFKA_PRODUCER_COMPRESSION_TYPE="zstd",
    )
    kafka = effective.settings.kafka
    assert kafka.client == {"security.protocol": "sasl_ssl", "sasl.username": "u", "sasl.password": "p=,q"}
    assert kafka.consumer == {"fetch.min.bytes": "5", "check.crcs": "true"}
    assert kafka.producer == {"linger.ms": "2.5", "compression.type": "zstd"}
    assert effective.source("kafka.client.sasl.username") == "x.toml:4"


def test_options_of_the_authorizer_are_passed_as_they_are() -> None:
    effective = of_toml(
        '[authorizer]\nuse = "jwt"\nfiles = ["a", 1]\nclaims = { sub = "s" }\noptions = 5',
        WHIMBREL_AUTHORIZER_SECRET_KEY="k",
    )
    assert effective.settings.authorizer.use == "jwt"
    assert effective.settings.authorizer.options == {
        "files": ["a", 1],
        "claims": {"sub": "s"},
        "options": 5,
        "secret_key": "k",
    }
    assert effective.source("authorizer.files") == "x.toml:3"


def test_options_from_flags_are_text_but_for_lists_and_tables() -> None:
    authorizer = (
        "authorizer.use=webhook",
        "authorizer.timeout_s=2",
        'authorizer.default={ subscribe = ["/a/*"] }',
        'authorizer.require=["x"]',
    )
    audit = ("audit.log={ file = 'a' }", "audit.log.file=b", "audit.log.files=3")
    effective = load(None, {}, [("--set", text) for text in (*authorizer, *audit)])
    assert effective.problems == []
    assert effective.settings.authorizer.options == {
        "timeout_s": "2",
        "default": {"subscribe": ["/a/*"]},
        "require": ["x"],
    }
    assert effective.settings.audit.options == {"log": {"file": "b", "files": "3"}}


TOPICS = "[[topics]]\nname = 'a'\nvalue = 'text'\n\n[[topics]]\nname = 'b'\npublish = true\n"


def topics_of(effective: Effective) -> list[str]:
    return [f"{topic.name}:{topic.value}{'!' if topic.publish else ''}" for topic in effective.settings.topics]


@pytest.mark.parametrize(
    ("topics", "publish", "expected"),
    [
        ("a, b,c.*,", "", ["a:json", "b:json", "c.*:json"]),
        ("", "", []),
        ("a,b", "b", ["a:json", "b:json!"]),
        ("n.*,*", "n.*", ["n.*:json!", "*:json"]),
        ("a,b", "b,a,a", ["a:json!", "b:json!"]),
        ('[{name = "a", value = "text"}, {name = "b"}]', "a", ["a:text!", "b:json"]),
    ],
)
def test_topics_come_as_names_or_as_in_toml_and_some_to_publish_into(
    topics: str, publish: str, expected: list[str]
) -> None:
    assert topics_of(of_toml("", ("--topics", topics), ("--publish", publish))) == expected
    assert topics_of(of_toml("", WHIMBREL_TOPICS=topics, WHIMBREL_PUBLISH=publish)) == expected
    assert topics_of(of_toml("", ("--set", f"topics={topics}"), ("--publish", publish))) == expected


def test_a_later_layer_replaces_all_topics_but_adds_to_what_may_be_published() -> None:
    assert topics_of(of_toml(TOPICS)) == ["a:text", "b:json!"]
    assert topics_of(of_toml(TOPICS, WHIMBREL_PUBLISH="a")) == ["a:text!", "b:json!"]
    assert topics_of(of_toml(TOPICS, WHIMBREL_TOPICS="c")) == ["c:json"]
    assert of_toml(TOPICS, ("--publish", "a")).sources == {
        "topics[0].name": "x.toml:2",
        "topics[0].value": "x.toml:3",
        "topics[0].publish": "--publish",
        "topics[1].name": "x.toml:6",
        "topics[1].publish": "x.toml:7",
    }


def test_the_effective_configuration_is_shown_with_its_sources_and_without_its_secrets() -> None:
    effective = load(
        None,
        {"WHIMBREL_TOPICS": "flights", "WHIMBREL_KAFKA_CLIENT_SASL_PASSWORD": "hush"},
        [("--kafka", "a:1"), ("--set", "cache.ttl=5m"), ("--set", "authorizer.secret=hush")],
    )
    text = show(effective)
    assert "hush" not in text
    found = {" ".join(line.split()) for line in text.splitlines()}
    assert {
        "[kafka]",
        'bootstrap = "a:1" # --kafka',
        "[kafka.client]",
        '"sasl.password" = "***" # WHIMBREL_KAFKA_CLIENT_SASL_PASSWORD',
        "[[topics]]",
        'name = "flights" # WHIMBREL_TOPICS',
        'value = "json" # default',
        'ttl = "5m" # --set',
        "queue = 10000 # default",
        'secret = "***" # --set',
    } <= found
    assert len([line for line in found if line.endswith("# default")]) >= 25


durations = st.floats(0.5, 60.0, allow_nan=False)
words = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda text: "\0" not in text)
properties = st.dictionaries(st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5})?", fullmatch=True), words, max_size=3)


@settings(deadline=None)
@given(st.data())
def test_what_is_shown_is_a_file_that_gives_the_same_settings(data: st.DataObject) -> None:
    topic_names = data.draw(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), unique=True, max_size=3))
    content = {
        "node": {"name": "n", "drain": data.draw(durations), "run_dir": data.draw(words), "servers": ["ws://a/v1/ws"]},
        "kafka": {"bootstrap": "a:1", "client": data.draw(properties), "producer": data.draw(properties)},
        "topics": [{"name": name, "publish": data.draw(st.booleans())} for name in topic_names],
        "namespaces": [{"name": f"{name}-", "publish": data.draw(st.booleans())} for name in topic_names],
        "cluster": {"data_dir": data.draw(words), "node_keys": {"n": "k" * 40}, "voters": ["n"]},
        "cache": {"ttl": data.draw(durations), "bytes": data.draw(st.integers(1 << 16, 1 << 40))},
        "authorizer": {
            "use": "a:B",
            **data.draw(st.dictionaries(st.sampled_from("xyz"), words | st.lists(st.integers()))),
        },
    }
    layers = Layers()
    layers.put_file("x", content, {})
    first = put_together(layers)
    assert not first.problems
    text = show(first)
    if '"***"' in text:
        return
    assert of_toml(text).settings == first.settings


def test_a_worker_is_told_what_concerns_it() -> None:
    text = """
    [node]
    name = "a"
    listen = "[::1]:90"
    servers = ["ws://a/v1/ws"]
    origins = ["*"]
    [cluster]
    controls = true
    [[topics]]
    name = "t*"
    value = "bytes"
    publish = true
    [[namespaces]]
    name = "t.n"
    [[namespaces]]
    name = "read.only"
    value = "text"
    publish = false
    [client]
    connections = 1
    subscriptions = 2
    publishes = 3
    frame_bytes = "4KiB"
    subject_bytes = 50
    outbox_bytes = "1GiB"
    last = 7
    heartbeat = 8
    hello_timeout = "500ms"
    [log]
    format = "json"
    level = "debug"
    [authorizer]
    use = "x"
    y = [1]
    """
    told = gateway_settings(of_toml(text).settings, index=3, cluster="c", link="ipc://x", port=91)
    assert told == GatewaySettings(
        index=3,
        node="a",
        cluster="c",
        link="ipc://x",
        host="::1",
        port=91,
        servers=["ws://a/v1/ws"],
        origins=["*"],
        topics=[TopicRule("t.n", "json", True), TopicRule("read.only", "text", False), TopicRule("t*", "bytes", True)],
        connections_max=1,
        subscriptions_max=2,
        publishes_max=3,
        frame_bytes_max=4096,
        subject_bytes_max=50,
        outbox_bytes_max=1 << 30,
        last_max=7,
        heartbeat_s=8.0,
        hello_timeout_s=0.5,
        authorizer="x",
        authorizer_options={"y": [1]},
        log_format="json",
        log_level="debug",
        controls=True,
    )
    assert msgspec.json.decode(msgspec.json.encode(told), type=GatewaySettings) == told


def test_workers_are_one_per_core_less_one_unless_said() -> None:
    node = Settings().node
    assert [node.worker_count(cores) for cores in (1, 2, 8)] == [1, 1, 7]
    assert load(None, {}, [("--workers", "3")]).settings.node.worker_count(8) == 3


@pytest.mark.parametrize(("listen", "host", "port"), [("a.b:0", "a.b", 0), ("[fe80::1]:65535", "fe80::1", 65535)])
def test_the_address_has_a_host_and_a_port(listen: str, host: str, port: int) -> None:
    node = load(None, {}, [("--listen", listen)]).settings.node
    assert (node.host, node.port) == (host, port)
