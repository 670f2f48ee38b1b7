"""The section `[cluster]` and namespaces: what is derived from them, what is wrong, and the files that they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.link.topic_rules import Mapping
from mesh.transport.keys import derive, make_pair
from node.settings import Settings, load, topic_rules, warnings
from node.settings.cluster_files import data_dir, mesh_keys, problems
from node.settings.show import show

KEY = "cluster.key=0123456789abcdef"


def of_sets(*sets: str, **environment: str) -> Settings:
    effective = load(None, environment, [("--set", text) for text in sets])
    assert not effective.problems, effective.problems
    return effective.settings


def wrong(*sets: str) -> list[str]:
    """What is wrong or missing, but for what every node must have."""
    effective = load(None, {}, [("--namespaces", "n"), *(("--set", text) for text in sets)])
    return [str(problem) for problem in [*effective.problems, *effective.missing()]]


# What follows from the values.


@pytest.mark.parametrize(
    ("sets", "address", "advertised"),
    [
        ((), "", ""),
        (("cluster.name=x", "cluster.advertise=a:1"), "", ""),
        (("cluster.listen=[::1]:9",), "[::1]:9", "[::1]:9"),
        (("cluster.listen=0.0.0.0:9", "cluster.advertise=b:10"), "0.0.0.0:9", "b:10"),
        (("cluster.join=a:1",), "127.0.0.1:7400", "127.0.0.1:7400"),
        (("cluster.voters=node",), "127.0.0.1:7400", "127.0.0.1:7400"),
        (("cluster.voters=node", "cluster.listen=127.0.0.1:9"), "127.0.0.1:9", "127.0.0.1:9"),
    ],
)
def test_there_are_sockets_for_other_nodes_when_there_may_be_any(
    sets: tuple[str, ...], address: str, advertised: str
) -> None:
    cluster = of_sets(*sets).cluster
    assert (cluster.address, cluster.advertised, cluster.is_on) == (address, advertised, bool(address))
    if address:
        assert f"{cluster.host}:{cluster.port}" == address.replace("[", "").replace("]", "")


def test_without_voters_the_node_is_its_own() -> None:
    assert of_sets("node.name=x").voters == ("x",)
    assert of_sets("node.name=x", "cluster.voters=a,b,c").voters == ("a", "b", "c")


def test_kafka_is_used_where_there_are_topics() -> None:
    assert not of_sets("namespaces=chat", "kafka.bootstrap=a:1").uses_kafka
    assert of_sets("namespaces=chat", "topics=t").uses_kafka


def test_a_namespace_may_be_published_into_and_wins_over_patterns_of_topics() -> None:
    settings = of_sets(
        'topics=[{name="a*"}, {name="*", value="text"}]', 'namespaces=[{name="abc", value="bytes"}, {name="x"}]'
    )
    mapping = Mapping(topic_rules(settings))
    found = {name: mapping.rule_for(name) for name in ("abc", "abcd", "x", "y")}
    assert {name: (rule.value, rule.publish) for name, rule in found.items() if rule} == {
        "abc": ("bytes", True),
        "abcd": ("json", False),
        "x": ("json", True),
        "y": ("text", False),
    }


def test_namespaces_come_from_everywhere_and_the_last_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[[namespaces]]\nname = 'a'\nvalue = 'text'\n[[namespaces]]\nname = 'b'\npublish = false\n")
    for environment, flags, expected in (
        ({}, [], ["a:text!", "b:json"]),
        ({"WHIMBREL_NAMESPACES": "c, d,"}, [], ["c:json!", "d:json!"]),
        ({"WHIMBREL_NAMESPACES": "c"}, [("--namespaces", "e")], ["e:json!"]),
        ({}, [("--namespaces", "")], []),
        ({"WHIMBREL_PUBLISH": "b"}, [], ["a:text!", "b:json!"]),
        ({}, [("--publish", "a,b")], ["a:text!", "b:json!"]),
    ):
        effective = load(str(file), environment, flags)
        assert not effective.problems
        found = effective.settings.namespaces
        assert [f"{one.name}:{one.value}{'!' if one.publish else ''}" for one in found] == expected
        assert effective.settings.topics == (), "without Kafka only namespaces can be meant"
    assert load(str(file), {}, []).source("namespaces[1].publish") == f"{file}:6"
    assert load(str(file), {"WHIMBREL_PUBLISH": "b"}, []).source("namespaces[1].publish") == "WHIMBREL_PUBLISH"


# What is wrong.


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ((), []),
        ((KEY,), []),
        (("cluster.listen=a:1", KEY), []),
        (
            ("cluster.listen=a:1",),
            [
                "cluster.key: not given, expected the cluster's secret, the same on all nodes (whimbrel keygen makes "
                "one): --cluster-key-file FILE, WHIMBREL_CLUSTER_KEY, or key or key_file in [cluster]"
            ],
        ),
        (("cluster.listen=a:1", "cluster.key_file=x"), []),
        (
            (KEY, "cluster.key_file=x"),
            ['--set: cluster.key_file: found "x", expected only one of cluster.key_file and cluster.key (--set)'],
        ),
        (
            ("cluster.join=a:1", KEY),
            [
                "cluster.voters: not given, expected the names of the voters, the same on all nodes, when other nodes "
                "are joined: --voters NAME,..."
            ],
        ),
        (
            ("cluster.listen=0.0.0.0:7400", KEY),
            [
                "cluster.advertise: not given, expected the HOST:PORT at which other nodes reach this one: "
                "cluster.listen is 0.0.0.0:7400"
            ],
        ),
        (
            ("cluster.advertise=[::]:1",),
            [
                '--set: cluster.advertise: found "[::]:1", expected an address at which other nodes reach this one',
            ],
        ),
        (
            ("cluster.listen=127.0.0.1:8079", "node.listen=0.0.0.0:8080", KEY),
            [
                '--set: cluster.listen: found "127.0.0.1:8079", expected a port other than that of node.listen (--set) '
                "and that less one"
            ],
        ),
        (("cluster.listen=127.0.0.1:8081", KEY), []),
        (
            ("cluster.secret_key_file=x",),
            [
                "cluster.node_keys: not given, expected the public keys of all nodes, as cluster.secret_key_file is "
                "given"
            ],
        ),
        (
            (f'cluster.node_keys={{ node = "{"k" * 40}" }}',),
            [
                "cluster.secret_key_file: not given, expected the file with this node's keys, as cluster.node_keys is "
                "given"
            ],
        ),
        (
            (f'cluster.accepted_node_keys={{ node = "{"k" * 40}" }}',),
            [
                "cluster.node_keys: not given, expected the public keys of all nodes, as cluster.accepted_node_keys is "
                "given"
            ],
        ),
        (
            (f'cluster.node_keys={{ a = "{"k" * 40}" }}', "cluster.secret_key_file=x", "cluster.voters=a,b,c", KEY),
            ["--set: cluster.node_keys: expected a key of this node and of each voter too: b, c, node lacking"],
        ),
        (
            ("namespaces=a,b,a",),
            ['--set: namespaces[2].name: found "a", expected a name that no earlier entry has: it would never be used'],
        ),
        (
            ("namespaces=a,b", "topics=a?,*,b", "kafka.bootstrap=k:1"),
            [
                '--set: topics[2].name: found "b", expected a name that is not that of namespaces[1], too',
                '--set: topics[2].name: found "b", expected a name that the earlier "*" does not match: it would never '
                "be used",
            ],
        ),
        (
            ("namespaces=b", "topics=*,a,b", "cache.ttl=soon", "kafka.bootstrap=k:1"),
            [
                '--set: cache.ttl: found "soon", expected a duration above 0, up to 3650d, written as "1h30m", "500ms" '
                "or 2.5 (seconds)",
                '--set: topics[1].name: found "a", expected a name that the earlier "*" does not match: it would never '
                "be used",
                '--set: topics[2].name: found "b", expected a name that is not that of namespaces[0], too',
                '--set: topics[2].name: found "b", expected a name that the earlier "*" does not match: it would never '
                "be used",
            ],
        ),
        (("namespaces=a,b", "topics=*", "kafka.bootstrap=k:1"), []),
        (
            ("topics=t",),
            [
                "kafka.bootstrap: not given, expected the brokers to read from: --kafka HOST:PORT, or "
                "WHIMBREL_KAFKA_BOOTSTRAP"
            ],
        ),
        (
            ("namespaces=a*",),
            ['--set: namespaces[0].name: found "a*", expected 1 to 249 characters of a-z A-Z 0-9 . _ -, not . or ..'],
        ),
        (
            ("cluster.key=short", "cluster.listen=a:1"),
            ['--set: cluster.key: found "***", expected a secret of at least 16'],
        ),
        ((f"cluster.key= {'x' * 16}",), ['--set: cluster.key: found "***"']),
        (
            ("cluster.voters=a,b", KEY),
            ["expected a list of 1, 3 or 5 different names of nodes, each 1 to 64 characters"],
        ),
        (("cluster.voters=a,b,a", KEY), ['found "a,b,a", expected a list of 1, 3 or 5 different names']),
        (("cluster.voters=a,b/c,d", KEY), ["cluster.voters: found"]),
        (("cluster.voters=a,b",), ["cluster.voters: found", "cluster.key: not given"]),
        (("cluster.listen=a",), ["cluster.listen: found", "cluster.key: not given"]),
        (("cluster.join=a",), ["cluster.join: found", "cluster.key: not given", "cluster.voters: not given"]),
        (("topics=a b",), ["topics[0].name: found", "kafka.bootstrap: not given"]),
        (("cluster.listen=a:0", KEY), ["expected HOST:PORT with a port from 1 to 65534, such as 192.0.2.1:7400"]),
        (("cluster.listen=a:65535", KEY), ['cluster.listen: found "a:65535"']),
        (("cluster.listen=7400", KEY), ['cluster.listen: found "7400"']),
        (("cluster.join=a:1,0.0.0.0:5", "cluster.voters=a", KEY), ["cluster.join: found"]),
        (("cluster.join=a:1,b", "cluster.voters=a", KEY), ["expected a list of HOST:PORT with ports from 1 to 65534"]),
        (("cluster.slots=0",), ['cluster.slots: found "0", expected a whole number from 1 to 1024']),
        (("cluster.slots=1025",), ['cluster.slots: found "1025"']),
        (("cluster.name=..",), ['cluster.name: found ".."']),
        (("node.name=.",), ['node.name: found "."']),
        (
            (f'cluster.node_keys={{ a = "{"k" * 39}" }}', "cluster.secret_key_file=x"),
            ["expected a table of nodes' names and their public keys, 40"],
        ),
        (
            ("cluster.node_keys=a",),
            ['cluster.node_keys: found "a", expected a table', "cluster.secret_key_file: not given"],
        ),
        (("cluster.controls=yes",), ['cluster.controls: found "yes", expected true or false']),
        (("kafka.read=both",), ['kafka.read: found "both", expected one of "feed", "direct"']),
    ],
)
def test_what_is_wrong_is_told_once_and_in_these_words(sets: tuple[str, ...], expected: list[str]) -> None:
    found = wrong(*sets)
    assert len(found) == len(expected), found
    for line, part in zip(found, expected, strict=True):
        assert part in line


def test_a_cluster_that_others_can_reach_is_no_reason_for_a_warning_and_namespaces_are_told_of() -> None:
    assert warnings(of_sets("cluster.listen=0.0.0.0:7400", KEY)) == []
    (text,) = warnings(of_sets("node.listen=0.0.0.0:1", "namespaces=chat", "topics=t"))
    assert "publish into chat." in text


def test_a_node_that_others_can_kill_is_warned_of() -> None:
    assert warnings(of_sets("cluster.controls=true")) == []
    found = warnings(of_sets("cluster.controls=true", "node.listen=0.0.0.0:1", "authorizer.use=x"))
    assert [text.partition(":")[0] for text in found] == ["OTHERS CAN KILL THIS NODE"]


# The files.


def test_the_key_is_shown_to_be_there_and_no_more() -> None:
    text = show(load(None, {"WHIMBREL_CLUSTER_KEY": "hush" * 4}, []))
    assert "hush" not in text
    assert 'key = "***"' in " ".join(text.split())
    assert "# WHIMBREL_CLUSTER_KEY" in text
    assert 'key = "" # default' in " ".join(show(load(None, {}, [])).split())


def test_keys_are_the_same_from_the_settings_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.key"
    file.write_text("0123456789abcdef\n")
    expected = derive("0123456789abcdef", "x")
    assert mesh_keys(of_sets("cluster.name=x", "cluster.listen=a:1", KEY)) == expected
    effective = load(
        None, {}, [("--cluster-key-file", str(file)), ("--cluster-listen", "a:1"), ("--set", "cluster.name=x")]
    )
    assert problems(effective) == []
    assert mesh_keys(effective.settings) == expected


def test_a_node_can_have_keys_of_its_own(tmp_path: Path) -> None:
    public, secret = make_pair()
    file = tmp_path / "node.key"
    file.write_text(f'public = "{public}"\nsecret = "{secret}"\n')
    sets = [f'cluster.node_keys={{ node = "{public}" }}', f"cluster.secret_key_file={file}", "cluster.listen=a:1", KEY]
    effective = load(None, {}, [("--set", text) for text in sets])
    assert [*effective.problems, *problems(effective)] == []
    assert mesh_keys(effective.settings) == derive("0123456789abcdef", "whimbrel", "node", {"node": public}, secret)
    other, _ = make_pair()
    effective = load(None, {}, [("--set", text) for text in [*sets, f'cluster.node_keys={{ node = "{other}" }}']])
    (problem,) = problems(effective)
    assert problem.key == "cluster.node_keys"
    assert "does not belong to the public key of 'node'" in problem.text
    assert secret not in str(problem)


def test_other_keys_can_be_accepted(tmp_path: Path) -> None:
    (public, secret), (other, _) = make_pair(), make_pair()
    (tmp_path / "node.key").write_text(f'public = "{public}"\nsecret = "{secret}"\n')
    (tmp_path / "accepted.key").write_text("fedcba9876543210\n")
    sets = [f'cluster.node_keys={{ node = "{public}" }}', f"cluster.secret_key_file={tmp_path / 'node.key'}", KEY]
    sets += [f'cluster.accepted_node_keys={{ node = "{other}" }}', "cluster.listen=a:1"]
    sets += [f"cluster.accepted_key_file={tmp_path / 'accepted.key'}"]
    effective = load(None, {}, [("--set", text) for text in sets])
    assert [*effective.problems, *problems(effective)] == []
    expected = derive(
        "0123456789abcdef", "whimbrel", "node", {"node": public}, secret, "fedcba9876543210", {"node": other}
    )
    assert mesh_keys(effective.settings) == expected


@pytest.mark.parametrize("key", ["key_file", "secret_key_file", "accepted_key_file"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "a file that can be read: No such file or directory"),
        (b"", "whimbrel keygen"),
        (b"short", "whimbrel keygen"),
        (b"one line of it and\nanother line of it", "whimbrel keygen"),
        (b"\xff" * 40, "a file of text"),
    ],
)
def test_a_file_that_has_no_key_is_told(tmp_path: Path, key: str, content: bytes | None, expected: str) -> None:
    file = tmp_path / "x.key"
    if content is not None:
        file.write_bytes(content)
    sets = [f"cluster.{key}={file}", "cluster.listen=a:1"]
    if key == "secret_key_file":
        sets += [f'cluster.node_keys={{ node = "{"k" * 40}" }}']
    if key != "key_file":
        sets += [KEY]
    effective = load(None, {}, [("--set", text) for text in sets])
    (problem,) = problems(effective)
    assert problem.key == f"cluster.{key}"
    assert problem.text.startswith(f'found "{file}", expected a file ')
    assert expected in problem.text


def test_a_file_that_is_wrong_is_told_along_with_all_else_that_is(tmp_path: Path) -> None:
    none = tmp_path / "none"
    effective = load(None, {}, [("--cluster-key-file", str(none)), ("--cluster-listen", "x")])
    assert [problem.key for problem in effective.problems + problems(effective)] == [
        "cluster.listen",
        "cluster.key_file",
    ]
    both = load(None, {}, [("--cluster-key-file", str(none)), ("--set", KEY), ("--cluster-listen", "a:1")])
    assert problems(both) == [], "that there is one too many was told"


def test_keys_are_not_made_of_settings_that_are_wrong() -> None:
    """They would not belong together, which nobody could then mend."""
    sets = ['cluster.node_keys={ node = "' + "k" * 40 + '" }', "cluster.listen=x", KEY]
    assert problems(load(None, {}, [("--set", text) for text in sets])) == []


@pytest.mark.parametrize(("mode", "around", "is_open"), [
    (0o600, 0o755, False), (0o640, 0o750, True), (0o604, 0o701, True), (0o644, 0o755, True),
    (0o644, 0o700, False), (0o640, 0o701, False), (0o622, 0o755, False),
])  # fmt: skip
def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path, mode: int, around: int, is_open: bool) -> None:
    (tmp_path / "keys").mkdir()
    file = tmp_path / "keys" / "x.key"
    file.write_text("0123456789abcdef\n")
    file.chmod(mode)
    file.parent.chmod(around)
    for key in ("key_file", "secret_key_file"):
        settings = load(None, {}, [("--set", f"cluster.{key}={file}")]).settings
        expected = f"OTHERS CAN READ THE KEY: cluster.{key} is {file}, which its group or everybody may read. chmod 600"
        assert [text[: len(expected)] for text in warnings(settings)] == [expected] * is_open
    assert warnings(of_sets(f"cluster.key_file={tmp_path / 'none'}")) == [], "that is a mistake, told as one"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([("--publish", "n")], []),
        (
            [("--publish", "m")],
            ['--publish: publish: found "m", expected the name of an entry of topics or namespaces (n)'],
        ),
        ([("--publish", "t"), ("--topics", "t"), ("--kafka", "k:1")], []),
        ([("--publish", "t"), ("--topics", "t b"), ("--kafka", "k:1")], ['--topics: topics[0].name: found "t b"']),
    ],
)
def test_only_into_what_there_is_can_be_published(flags: list[tuple[str, str]], expected: list[str]) -> None:
    effective = load(None, {}, [("--namespaces", "n"), *flags])
    found = [str(problem) for problem in effective.problems + effective.missing()]
    assert len(found) == len(expected), found
    assert all(line.startswith(part) for line, part in zip(found, expected, strict=True))


def test_promises_go_where_state_goes_unless_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = of_sets("node.name=a", "cluster.name=c")
    assert data_dir(settings, {}) == tmp_path / ".local/state/whimbrel/c/a"
    assert data_dir(settings, {"XDG_STATE_HOME": "not/absolute"}) == tmp_path / ".local/state/whimbrel/c/a"
    assert data_dir(settings, {"XDG_STATE_HOME": "/s"}) == Path("/s/whimbrel/c/a")
    assert data_dir(of_sets("cluster.data_dir=/d"), {"XDG_STATE_HOME": "/s"}) == Path("/d")
