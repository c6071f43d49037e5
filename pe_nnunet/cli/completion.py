"""Print a script that lets a shell complete commands, options, their values and file names.

pe-nnunet completion bash > ~/.local/share/bash-completion/completions/pe-nnunet
pe-nnunet completion zsh > ~/.pe-nnunet.zsh   then in ~/.zshrc, after compinit: eval "$(< ~/.pe-nnunet.zsh)"
pe-nnunet completion fish > ~/.config/fish/completions/pe-nnunet.fish

The script, which shtab makes of the commands' own parsers, is of this version: print it again after an update. It
starts no program when it completes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet completion`."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell))
    return 0


def script(shell: str) -> str:
    """What completes `pe-nnunet` and `pe-nnunet-predict-fused`.

    Args:
        shell: One of `SHELLS`.
    """
    import shtab

    from pe_nnunet.cli import COMMANDS, add_version, command_parser
    from pe_nnunet.cli.parser import Parser

    whole = Parser(prog="pe-nnunet")
    add_version(whole)
    commands = whole.add_subparsers()
    for name, text in COMMANDS.items():
        command_parser(name, parser=commands.add_parser(name, help=text))
    alone = command_parser("predict-fused", "pe-nnunet-predict-fused")
    for parser in (alone, *commands.choices.values()):
        for action in parser._actions:
            if "\n" in (action.help or ""):  # what each value means, which fish would show beside every one
                action.help = str(action.metavar).lower()
            if action.type is Path or action.metavar == "MODEL":  # a name or a folder
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return "\n".join(shtab.complete(parser, shell) for parser in (whole, alone))
