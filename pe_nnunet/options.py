"""Options declared once, as fields of a frozen data class: default, limits, meaning and flag.

A class of settings declares each of its options with `option`. Its limits (`require_limits`), the arguments of the
commands that have it (`add_options`, `chosen`) and its line in the docs (`describe`) all come from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.errors.near import did_you_mean

METAVARS: dict[Any, str] = {int: "N", float: "N", Path: "PATH"}


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    flag: str | None = None,
    kind: Callable[[str], Any] | None = None,
    metavar: str | tuple[str, ...] | None = None,
    default_text: str | None = None,
) -> Any:
    """A field of a data class that is an option.

    Args:
        default: Its default; of a tuple, all of whose values lie within the limits; a callable makes it.
        text: What it means, in one line.
        low: Smallest value.
        high: Largest value.
        above: Values are larger than this.
        choices: The values that there are.
        flag: On the command line; `--name-of-the-field` if None. That of a truth value switches it to what the default
            is not.
        kind: Converts the command line's text; the default's type if None.
        metavar: What the help calls the value; of a tuple of fixed length, each of its values.
        default_text: What the help calls the default.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Settings:
        ...     step: float = option(0.5, "between windows", above=0, high=1)
        >>> Settings(), describe(fields(Settings)[0])
        (Settings(step=0.5), 'between windows; above 0, at most 1; default 0.5')
    """
    metadata = {
        "text": text, "low": low, "high": high, "above": above, "choices": choices, "flag": flag, "kind": kind,
        "metavar": metavar, "default_text": default_text,
    }  # fmt: skip
    return (
        field(default_factory=default, metadata=metadata)
        if callable(default)
        else field(default=default, metadata=metadata)
    )


def options_of(settings: type) -> dict[str, Field[Any]]:
    """The options among the fields of a data class, by name."""
    return {item.name: item for item in fields(settings) if "text" in item.metadata}


def default_of(item: Field[Any]) -> Any:
    """The default of an option."""
    return item.default if item.default_factory is MISSING else item.default_factory()


def flag_of(item: Field[Any]) -> str:
    """An option's name on the command line."""
    return str(item.metadata["flag"] or "--" + item.name.replace("_", "-"))


def limits_of(item: Field[Any]) -> str:
    """The limits of an option in words; empty where there are none.

    Example:
        >>> limits_of(option(0.5, "a share", low=0, high=1)), limits_of(option(5, "epochs", low=1))
        ('0 to 1', '1 or more')
    """
    low, high, above, choices = (item.metadata[name] for name in ("low", "high", "above", "choices"))
    if choices is not None:
        return ", ".join(choices)
    if above is not None:
        return f"above {above:g}" + ("" if high is None else f", at most {high:g}")
    if low is None:
        return "" if high is None else f"at most {high:g}"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def describe(item: Field[Any]) -> str:
    """Meaning, limits and default of an option in one line, as the command line's help has them beside the choices."""
    default, limits = default_of(item), "" if item.metadata["choices"] else limits_of(item)
    shown = item.metadata["default_text"]
    if shown is None and default is not None and not isinstance(default, bool) and default != ():
        values = default if isinstance(default, tuple) else (default,)
        shown = " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    parts = [item.metadata["text"], limits, f"default {shown}" if shown is not None else ""]
    return "; ".join(part for part in parts if part)


def require_limits(settings: Any, code: str, name_of: Callable[[Field[Any]], str] = flag_of) -> None:
    """Refuse settings of which an option lies outside its limits; None is always within.

    Args:
        settings: An object of a class with options.
        code: Of the error.
        name_of: What the error calls an option; its flag by default.

    Raises:
        ConfigurationError: With that code, for the first such option.
    """
    for name, item in options_of(type(settings)).items():
        value = getattr(settings, name)
        for single in value if isinstance(value, tuple) else (value,):
            if single is not None and not _within(single, item.metadata):
                hint = did_you_mean(str(single), item.metadata["choices"] or ())
                raise ConfigurationError(code, f"{name_of(item)} is {single}, expected {limits_of(item)}", hint)


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    low, high, above, choices = (limits[name] for name in ("low", "high", "above", "choices"))
    if choices is not None:
        return value in choices
    bounds = (low is None or value >= low, high is None or value <= high, above is None or value > above)
    finite = high is not None or (low is None and above is None) or value < float("inf")
    return all(bounds) and finite


def add_options(parser: argparse._ActionsContainer, settings: type, *names: str, unset: bool = False) -> None:
    """Add options of a data class to a command.

    Args:
        parser: Of the command, or a group in it.
        settings: The class.
        names: Of its options; all if there are none.
        unset: Let what is not given be None instead of the default, for a command that finds its defaults elsewhere.
    """
    known = options_of(settings)
    for name in names or known:
        item = known[name]
        default, about = default_of(item), item.metadata
        common: dict[str, Any] = {"dest": name, "help": describe(item).replace("%", "%%")}
        common["default"] = None if unset else default
        if isinstance(default, bool):
            parser.add_argument(flag_of(item), action="store_false" if default else "store_true", **common)
            continue
        many = isinstance(default, tuple)
        sample = default[0] if many and default else default
        kind = about["kind"] or (str if sample is None or (many and not default) else type(sample))
        if about["choices"] is not None:
            common["choices"] = about["choices"]
        else:
            common["metavar"] = about["metavar"] or METAVARS.get(kind, name.upper())
        if many:
            named = about["metavar"]
            common["nargs"] = len(named) if isinstance(named, tuple) else "+"
        parser.add_argument(flag_of(item), type=kind, **common)


def chosen(args: argparse.Namespace, settings: type) -> dict[str, Any]:
    """What a command was given of a class's options, as the class takes them; what is None and no default is left out.

    Args:
        args: Of a command that added options of the class.
        settings: The class.
    """
    values = {name: getattr(args, name) for name in options_of(settings) if hasattr(args, name)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if value is not None
    }
