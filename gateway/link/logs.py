"""Log lines: an event's fixed name, then `key=value`; as text for people or as one JSON object per line.

    event(log, "draining", clients=12, window_s=10.0)

    2026-01-31T12:00:00.123Z info gateway.worker draining clients=12 window_s=10.0
    {"time":"2026-01-31T12:00:00.123Z","level":"info","logger":"gateway.worker","event":"draining",...}

The node and its workers both write to standard error. Messages of other libraries come out the same way, the whole
message as the event.

Invariants:
- One line per event, whatever the values hold; in JSON, always a valid object.
- Formatting never raises.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections.abc import Mapping

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_OURS = ("time", "level", "logger", "event", "exception")
_BARE = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f]+")
_DEPTH_MAX = 4


def event(log: logging.Logger, name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Log one change of state: its name in snake_case, and what there is to know about it."""
    if log.isEnabledFor(level):
        log.log(level, "%s", name, extra={"fields": fields}, stacklevel=2)


def exception(log: logging.Logger, name: str, level: int = logging.ERROR, /, **fields: object) -> None:
    """As `event`, with the current exception."""
    log.log(level, "%s", name, extra={"fields": fields}, exc_info=True, stacklevel=2)


def set_up(format: str, level: str) -> None:
    """Send all logs of this process to standard error.

    Args:
        format: text or json.
        level: The least that is written: debug, info, warning or error.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(_LEVELS[level])
    logging.raiseExceptions = False  # a log that cannot be written must not cost anything else
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """`time level logger event key=value ...`; a value with spaces or quotes is a JSON string."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), record.levelname.lower(), record.name, _one_line(_message(record))]
        parts += [f"{name}={_text(value)}" for name, value in _fields(record).items()]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line. A field with a name that is ours has an underscore behind it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _message(record),
        }
        for name, value in _fields(record).items():
            line[name + "_" if name in _OURS else name] = _plain(value)
        if record.exc_info:
            line["exception"] = _plain(self.formatException(record.exc_info))
        return json.dumps(line, separators=(",", ":"))


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return str(_plain(record.getMessage()))
    except Exception:
        return str(_plain(record.msg))  # its arguments do not fit


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = getattr(record, "fields", {})
    return fields if isinstance(fields, Mapping) else {}


def _one_line(text: str) -> str:
    return text if text.isprintable() else _printable(text)[1:-1]


def _text(value: object) -> str:
    plain = _plain(value)
    is_bare = isinstance(plain, str) and _BARE.fullmatch(plain) and plain.isprintable()
    return str(plain) if is_bare else _printable(plain)


def _printable(plain: object) -> str:
    """JSON for people: letters of all languages as they are, unless something among them would break the line."""
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
    return text if text.isprintable() else json.dumps(plain, separators=(",", ":"))


def _plain(value: object, depth: int = 0) -> object:
    """The value as JSON has it: text that is valid Unicode, finite numbers, lists, and maps with text as keys."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 63 else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return {str(_plain(name, _DEPTH_MAX)): _plain(item, depth + 1) for name, item in value.items()}
    if depth < _DEPTH_MAX and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in value]
    try:
        text = str(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()
