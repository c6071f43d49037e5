"""`python -m pe_nnunet.cli.commands_page` prints the page `docs/commands.md` from what the commands declare."""

from __future__ import annotations

import argparse
from importlib import import_module

from pe_nnunet.cli import COMMANDS, GROUPS, command_parser
from pe_nnunet.cli.description import examples

HEAD = """# Commands and their options

`pe-nnunet COMMAND --help` says the same. `pe-nnunet predict-fused` is `pe-nnunet-predict-fused`, too. Every command has
`--debug`, which shows the traceback of an error. Exit codes: 0 done, 1 wrong usage, 2 nothing could be done, 3 some
cases failed.

| for | commands |
| --- | --- |
"""

TAIL = """
This page is the output of `python -m pe_nnunet.cli.commands_page`.
"""


def page() -> str:
    """The page: what commands are for, then of each its examples and its options in groups."""
    index = [f"| {title} | {', '.join(f'[{name}](#{name})' for name in names)} |" for title, names in GROUPS.items()]
    return HEAD + "\n".join(index) + "\n" + "".join(_section(name, text) for name, text in COMMANDS.items()) + TAIL


def _section(name: str, text: str) -> str:
    parser = command_parser(name)
    module = import_module(f"pe_nnunet.cli.{name.replace('-', '_')}")
    typed = [f"    {example.command}" for example in examples(module.__doc__ or "")]
    lines = ["", f"## {name}", "", f"{text[:1].upper()}{text[1:]}.", "", *typed, *([""] if typed else [])]
    for group in parser._action_groups[:-1]:  # the last is what every command has
        if group._group_actions:
            about = f": {group.description}" if group.description else ""
            rows = [f"| {_usage(action)} | {_meaning(parser, action)} |" for action in group._group_actions]
            lines += [f"{str(group.title).capitalize()}{about}", "", "| option | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def _usage(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    value = metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return f"`{value}`"
    shown = ", ".join(action.option_strings)
    if action.nargs == 0:
        return f"`{shown}`"
    return f"`{shown} {value}{' ...' if action.nargs == '+' else ''}`".replace("|", "\\|")


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return text.replace("|", "\\|").replace("\n", "<br>")


if __name__ == "__main__":
    print(page(), end="")
