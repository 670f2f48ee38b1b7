"""`whimbrel completion`: a script for the shell that completes commands, flags and files."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Print a script that lets the shell complete commands, flags and file names."
    parser.epilog = (
        "examples:\n"
        "  bash: whimbrel completion bash > ~/.local/share/bash-completion/completions/whimbrel\n"
        "  zsh:  whimbrel completion zsh > /a/directory/of/fpath/_whimbrel\n"
        "  fish: whimbrel completion fish > ~/.config/fish/completions/whimbrel.fish"
    )
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    import shtab

    from node import cli

    parser = cli.whole_parser()
    for command in parser._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr]
        for action in command._actions:
            if str(action.metavar or "").partition("[")[0] == "FILE":
                action.complete = shtab.FILE
    print(shtab.complete(parser, args.shell))
    return 0
