"""Lets librdkafka check the properties that it will be given.

Only the library knows their names and values. It checks one property at a time, so that an error is about that one,
and then all together, as some are wrong only in combination. No connection is made.

Not here: properties that the node itself does not allow (relations.py).
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

from node.settings.effective import Effective
from node.settings.keys import is_secret, toml_text
from node.settings.layers import Problem
from node.settings.relations import REFUSED

_NONE = "No such configuration property"
_NONE_SUCH = "whimbrel.none.such"
_MECHANISMS = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"
"""Without one the library takes GSSAPI, which the one that pip installs cannot do."""

_OWN_TOKENS = {"sasl.oauthbearer.method": "oidc", "enable.sasl.oauthbearer.unsecure.jwt": "true"}
"""Properties with which the library finds tokens by itself."""

_COMMON = """
client.id client.rack compression.type fetch.max.bytes fetch.message.max.bytes fetch.min.bytes fetch.wait.max.ms
linger.ms max.partition.fetch.bytes message.max.bytes receive.message.max.bytes sasl.mechanism
sasl.mechanisms sasl.password sasl.username security.protocol socket.keepalive.enable socket.timeout.ms ssl.ca.location
ssl.ca.pem ssl.certificate.location ssl.certificate.pem ssl.endpoint.identification.algorithm ssl.key.location
ssl.key.password ssl.key.pem group.id
""".split()  # noqa: SIM905 - for people to read
"""Suggestions for unknown names: the library cannot list its properties."""


def problems(effective: Effective) -> list[Problem]:
    """What the library refuses in `[kafka.client]`, `[kafka.consumer]` and `[kafka.producer]`."""
    kafka = effective.settings.kafka
    found = []
    for table in ("client", "consumer", "producer"):
        for name, value in getattr(kafka, table).items():
            complaint = "" if name in REFUSED else _about_one(name, value)
            path = f"kafka.{table}.{name}"
            if complaint and not (is_secret(path) or _NONE in complaint):  # a name that is none may be a password's
                complaint = f"found {toml_text(value)}: {complaint}"
            found += [Problem(effective.source(path), path, complaint)] if complaint else []
    found = found or _tokens(effective)
    if found:
        return found
    together = {}
    for table, make, own in (("consumer", Consumer, kafka.consumer), ("producer", Producer, kafka.producer)):
        properties = kafka.client | own
        protocol = properties.get("security.protocol", "")
        if protocol.lower().startswith("sasl") and not {"sasl.mechanism", "sasl.mechanisms"} & properties.keys():
            source = effective.source("kafka.client.security.protocol")
            text = f'not given, expected one of {_MECHANISMS}: security.protocol is "{protocol}"'
            return [Problem(source, "kafka.client.sasl.mechanism", text)]
        together[f"kafka.client and kafka.{table} together"] = _about_all(make, properties)
    if len({*together.values()}) == 1:  # the same cause, once
        together = {"kafka.client": together.popitem()[1]}
    return [Problem("", where, complaint) for where, complaint in together.items() if complaint]


def _tokens(effective: Effective) -> list[Problem]:
    """What is wrong with where tokens come from: without any, the library would say nothing and never connect."""
    kafka = effective.settings.kafka
    for table, own in (("client", {}), ("consumer", kafka.consumer), ("producer", kafka.producer)):
        properties = kafka.client | own
        name = next((one for one in ("sasl.mechanisms", "sasl.mechanism") if one in properties), "sasl.mechanisms")
        takes_tokens = properties.get(name, "").upper() == "OAUTHBEARER"
        is_sasl = properties.get("security.protocol", "").lower().startswith("sasl")
        has_own = any(properties.get(one, "").lower() == value for one, value in _OWN_TOKENS.items())
        if kafka.oauth and (has_own or not (takes_tokens and is_sasl)):
            text = "expected no other source of tokens" if has_own else 'expected sasl.mechanisms = "OAUTHBEARER" and '
            text += "" if has_own else 'security.protocol = "SASL_SSL" or "SASL_PLAINTEXT", for all of kafka.client'
            return [Problem(effective.source("kafka.oauth"), "kafka.oauth", f'found "{kafka.oauth}", {text}')]
        if takes_tokens and is_sasl and not (kafka.oauth or has_own):
            path = f"kafka.{table if name in own else 'client'}.{name}"
            text = (
                'OAUTHBEARER needs tokens: from a Python function, kafka.oauth = "module:function" (for Amazon MSK '
                'with IAM, say), or from an OpenID provider, sasl.oauthbearer.method = "oidc" with '
                "sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret"
            )
            return [Problem(effective.source(path), path, text)]
    return []


def _about_one(name: str, value: str) -> str:
    """What is wrong with one property. The library stops at the first wrong one, so an unknown one comes second."""
    try:
        Producer({name: value, _NONE_SUCH: ""})
    except KafkaException as error:
        complaint = _clean(error)
        if _NONE_SUCH in complaint:
            return ""
        close = difflib.get_close_matches(name, _COMMON, n=1, cutoff=0.75) if _NONE in complaint else []
        return complaint + (f"; did you mean {close[0]}?" if close else "")
    except (TypeError, ValueError, AttributeError):
        return "a function or an object in the library, which a configuration cannot give"
    raise AssertionError("the library took a property that does not exist")


def _about_all(make: Any, properties: dict[str, str]) -> str:
    """What is wrong with properties together, though not with any by itself."""
    kept = {name: value for name, value in properties.items() if name not in REFUSED and name != "debug"}
    try:
        made = make({"group.id": "check"} | kept | {"log_level": "0"})
    except KafkaException as error:
        return _clean(error)
    if make is Consumer:
        made.close()
    return ""


def _clean(error: KafkaException) -> str:
    return re.sub(r"^Failed to create \w+: |\s+(?=\s|\Z)", "", error.args[0].str()).replace("\n", " ")
