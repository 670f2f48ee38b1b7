"""`whimbrel token`: a token to try the configured authorizer with."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from node.commands import configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a token that a node with this configuration accepts (authorizer.use is jwt), for trials and tests. It "
        "is signed with the configured secret, else with the private key that --key names."
    )
    configuration.add_arguments(parser, kafka=False)
    parser.add_argument("--subject", required=True, metavar="NAME", help="whose token it is")
    parser.add_argument("--ttl", default="1h", metavar="DURATION", help="its lifetime (default: 1h)")
    for name in ("subscribe", "publish", "both"):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="SUBJECT",
            dest=f"may_{name}",
            help=f"a subject or pattern that it permits ({name}); may be repeated (default: what the configuration "
            "says of tokens without permissions)",
        )
    parser.add_argument(
        "--claim", action="append", default=[], metavar="NAME=VALUE", help="another claim; JSON, else text"
    )
    parser.add_argument("--issuer", default="", metavar="NAME", help="whose token, where there are several issuers")
    parser.add_argument("--key", default="", metavar="FILE", help="the private key, in PEM")
    parser.add_argument("--kid", default="", metavar="ID", help="the key's name in a key set")


def run(args: argparse.Namespace) -> int:
    from node.settings.plugins import why_not
    from node.tokens.minting import MintingError, Wish, mint

    effective = configuration.read(args)
    if effective.problems:
        return configuration.report(effective.problems)
    authorizer = effective.settings.authorizer
    if authorizer.use != "jwt":
        print(f"whimbrel: authorizer.use is {authorizer.use}: only jwt takes tokens made here", file=sys.stderr)
        return 2
    try:
        claims = dict(_claim(one) for one in args.claim)
        permissions = {"subscribe": args.may_subscribe, "publish": args.may_publish, "both": args.may_both}
        ttl_s = _lifetime(args.ttl, authorizer.token_life_s)
        token = mint(
            authorizer.options, Wish(args.subject, ttl_s, permissions, claims, args.issuer, args.key, args.kid)
        )
    except (MintingError, ValueError) as error:
        print(f"whimbrel: {error}", file=sys.stderr)
        return 2
    asked = {"options": authorizer.options, "token": token}
    refused = why_not("gateway.authorizers.taking", asked, "checking the token")
    if refused:
        print(f"whimbrel: a node with this configuration would refuse it: {refused}", file=sys.stderr)
        return 2
    print(token)
    return 0


def _lifetime(given: str, longest_s: float) -> float:
    from node.settings.units import format_duration, parse_duration

    try:
        found = parse_duration(given)
    except ValueError as error:
        raise ValueError(f"--ttl: found {given!r}, expected a duration such as 10m or 1h30m ({error})") from error
    if found > longest_s:
        raise ValueError(
            f"--ttl: found {given!r}, expected {format_duration(longest_s)} at most (authorizer.token_life)"
        )
    return found


def _claim(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise ValueError(f"--claim: found {given!r}, expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
