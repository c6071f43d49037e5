"""The parser of a command: short usage, options in groups, near misses, exit code 1 for wrong usage."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pe_nnunet.cli.description import as_help
from pe_nnunet.errors.near import did_you_mean
from pe_nnunet.errors.shown import shown

USAGE = 1
MAX_WIDTH = 100
FIRST_GROUP = "most needed"
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's, as wide as the terminal and at most 100 columns, with a usage line of what must be given."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(shutil.get_terminal_size().columns, MAX_WIDTH) - 1)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:  # a group's description, the version: no docstring
            return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
        return "".join(indent + line for line in as_help(text, width - len(indent)).splitlines(keepends=True))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [line for part in text.splitlines() for line in textwrap.wrap(part, width, break_on_hyphens=False)]

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        """`-f FOLD ...` for one or more, not `-f FOLD [FOLD ...]`."""
        if action.nargs == "+" and not isinstance(action.metavar, tuple):
            return f"{self._metavar_formatter(action, default_metavar)(1)[0]} ..."
        return super()._format_args(action, default_metavar)

    def _expand_help(self, action: argparse.Action) -> str:
        if "%(default)" in (action.help or "") and isinstance(action.default, list):
            return (action.help or "").replace("%(default)s", " ".join(map(str, action.default)))
        return super()._expand_help(action)

    def _format_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Iterable[Any], prefix: str | None
    ) -> str:
        """Only what must be given: a command with fifty options would fill the screen."""
        every, needed_groups = list(actions), [group for group in groups if group.required]
        grouped = [action for group in needed_groups for action in group._group_actions]
        needed = [action for action in every if action.required or action in grouped or not action.option_strings]
        if len(needed) < len(every):
            needed.insert(0, argparse.Action([], "options", metavar="[options]"))
        return super()._format_usage(usage, needed, needed_groups, prefix)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """`-o, --output FILE`, as Python 3.13 has it, not the value after each spelling."""
        if not action.option_strings:
            return super()._format_action_invocation(action)
        names = ", ".join(action.option_strings)
        if action.nargs == 0:
            return names
        return f"{names} {self._format_args(action, self._get_default_metavar_for_optional(action))}"


class Parser(argparse.ArgumentParser):
    """argparse, with near misses of options and values, and exit code 1 for wrong usage."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, "add_help": False} | settings)
        self._positionals.title, self._optionals.title = "arguments", "options"
        self._arguments: Sequence[str] = ()

    def add_common(self) -> None:
        """Add, in a group that comes last, what every command has; and name the first group where there are others."""
        if any(group._group_actions for group in self._action_groups[2:]):
            self._optionals.title = FIRST_GROUP
        group = self.add_argument_group("help")
        group.add_argument("-h", "--help", action="help", help="show this text and exit")
        group.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse; the arguments are kept for the message of an error."""
        self._arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End with exit code 1, the usage, what is wrong and which option was meant."""
        self.print_usage(sys.stderr)
        text = "; ".join(filter(None, [shown(message), self._meant()]))
        self.exit(USAGE, f"{self.prog}: {text}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), known, f"choose from {', '.join(known)}")
            raise argparse.ArgumentError(action, f"invalid choice: {str(value)!r}; {hint}")

    def _meant(self) -> str:
        """Of the first argument that looks like an option and is none: the option that is near."""
        known = list(self._option_string_actions)
        for argument in self._arguments:
            name = argument.partition("=")[0]
            if _OPTION.fullmatch(name) and not any(option.startswith(name) for option in known):
                return did_you_mean(name, known) and f"{name}: {did_you_mean(name, known)}"
        return ""
