"""Produces a record whose headers have names that are no text, as producers in other languages can.

confluent-kafka takes text only, so librdkafka is called directly.

Not here: ordinary records (produce.py).
"""

from __future__ import annotations

import ctypes

from node.kafka.embedded import library_path
from tests.support.patience import PATIENCE_S

_PRODUCER = 0
_CONF_OK = 0
_TOPIC, _VALUE, _KEY, _FLAGS, _HEADER = 1, 4, 5, 7, 9
_COPY = 2


class _Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _HeaderArgument(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("size", ctypes.c_ssize_t))


class _Union(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int),
        ("bytes", _Bytes),
        ("header", _HeaderArgument),
        ("padding", ctypes.c_char * 64),
    )


class _Argument(ctypes.Structure):
    """`rd_kafka_vu_t`."""

    _fields_ = (("kind", ctypes.c_int), ("value", _Union))


def produce(bootstrap: str, topic: str, key: bytes, value: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Produce one record, and wait until Kafka has it."""
    library = ctypes.CDLL(library_path())
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("conf_new", pointer, []),
        ("conf_set", ctypes.c_int, [pointer, text, text, text, ctypes.c_size_t]),
        ("new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        ("produceva", pointer, [pointer, ctypes.POINTER(_Argument), ctypes.c_size_t]),
        ("flush", ctypes.c_int, [pointer, ctypes.c_int]),
        ("destroy", None, [pointer]),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    reason = ctypes.create_string_buffer(512)
    configuration = library.rd_kafka_conf_new()
    for property_name, setting in ((b"bootstrap.servers", bootstrap.encode()), (b"log_level", b"0")):
        assert library.rd_kafka_conf_set(configuration, property_name, setting, reason, 512) == _CONF_OK, reason.value
    producer = library.rd_kafka_new(_PRODUCER, configuration, reason, 512)
    assert producer, reason.value
    given = [
        _Argument(_TOPIC, _Union(text=topic.encode())),
        _Argument(_KEY, _Union(bytes=_Bytes(key, len(key)))),
        _Argument(_VALUE, _Union(bytes=_Bytes(value, len(value)))),
        _Argument(_FLAGS, _Union(number=_COPY)),
        *(_Argument(_HEADER, _Union(header=_HeaderArgument(name, one, len(one)))) for name, one in headers),
    ]
    assert not library.rd_kafka_produceva(producer, (_Argument * len(given))(*given), len(given)), "not produced"
    assert library.rd_kafka_flush(producer, int(PATIENCE_S * 1000)) == 0, "Kafka has not taken it"
    library.rd_kafka_destroy(producer)
