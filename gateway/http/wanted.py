"""Which headers and cookies of a request an authorizer is shown: those that the configuration names.

Not here: reading the request (server.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Wanted:
    """Names of headers, in any case, and of cookies."""

    def __init__(self, headers: Sequence[str], cookies: Sequence[str]) -> None:
        self._headers = [name.lower() for name in headers]
        self._cookies = frozenset(cookies)

    def headers_of(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """The wanted headers that there are; `fields` has all, by name in lower case."""
        if not self._headers:
            return _NOTHING
        return {name: fields[name] for name in self._headers if name in fields}

    def cookies_of(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """The wanted cookies that there are. Of several with one name the first counts (RFC 6265 section 5.4)."""
        if not self._cookies:
            return _NOTHING
        found: dict[str, str] = {}
        for pair in fields.get("cookie", "").split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals and name in self._cookies:
                found.setdefault(name, value.strip('"'))
        return found
