"""Kill the commands at random moments, break what they need, and run them again: all is as if nothing had happened.

python -m tests.kill                                    everything, about an hour
python -m tests.kill --only slices convert              commands whose names hold one of these
python -m tests.kill --kills 5 --seed 7 --no-training   fewer of them, at other moments
python -m tests.kill --only evaluate --step 12 --whom first    one moment again, as a failing one is printed
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.kill.commands import COMMANDS, Command, finish_inputs, write_inputs
from tests.kill.faults import FAULTS
from tests.kill.processes import Moment
from tests.kill.training import TRAININGS, Training, prepare_training
from tests.kill.trials import Unbroken, killed, moments, unbroken

Named = TypeVar("Named", Command, Training)


def main() -> int:
    """Run what the arguments say; exit code 1 if anything failed."""
    args = _arguments()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="pe_nnunet_kill_"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"in {folder}, seed {args.seed}", flush=True)
    if not (folder / "inputs").exists():
        write_inputs(folder / "inputs")
        finish_inputs(folder)
    failures = []
    for command in _chosen(COMMANDS, args.only):
        failures += _trials(command, folder, args)
    if not args.no_training and _chosen(TRAININGS, args.only):
        prepare_training(folder)
        for training in _chosen(TRAININGS, args.only):
            failures += training.trials(folder, args.training_kills, args.seed)
    print(f"\n{len(failures)} failed", *failures, sep="\n  ", flush=True)
    return 1 if failures else 0


def _trials(command: Command, folder: Path, args: argparse.Namespace) -> list[str]:
    """All kills and faults of a command; what failed."""
    try:
        whole = unbroken(command, folder)
    except AssertionError as error:
        print(f"{command.name}: {error}", flush=True)
        return [f"{command.name}: {error}"]
    print(f"{command.name}: unbroken {whole.ended.seconds:.1f} s, {whole.ended.steps} steps", flush=True)
    failures, running, chosen = [], 0, _moments(command, whole, args)
    begun = time.monotonic()
    for number, moment in enumerate(chosen, 1):
        try:
            running += killed(command, folder, moment, whole.contents)
            result = "as unbroken"
        except AssertionError as error:
            result = f"FAILED {error}"
            failures.append(f"{command.name} killed at {moment} (seed {args.seed}): {error}")
        left_s = (time.monotonic() - begun) / number * (len(chosen) - number)
        print(f"  {number}/{len(chosen)} {moment}: {result}, about {left_s:.0f} s left", flush=True)
    if chosen:
        print(f"  {running} of {len(chosen)} were running when they were killed", flush=True)
    for name, fault in FAULTS.items() if args.step is None and args.seconds is None and not args.no_faults else ():
        try:
            print(f"  {name}: {fault(command, folder, whole.contents)}", flush=True)
        except AssertionError as error:
            print(f"  {name}: FAILED {error}", flush=True)
            failures.append(f"{command.name}, {name}: {error}")
    return failures


def _moments(command: Command, whole: Unbroken, args: argparse.Namespace) -> list[Moment]:
    if args.step is not None or args.seconds is not None:
        return [Moment(args.step or 0, args.seconds or 0.0, args.whom)]
    return moments(args.kills, whole.ended, f"{args.seed} {command.name}")


def _chosen(commands: Sequence[Named], only: Sequence[str] | None) -> list[Named]:
    return [command for command in commands if not only or any(part in command.name for part in only)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", metavar="PART", help="commands whose names hold one of these")
    add("--kills", type=int, default=20, metavar="N", help="of each command; default %(default)s")
    add("--training-kills", type=int, default=5, metavar="N", help="of each training; default %(default)s")
    add("--seed", type=int, default=0, help="of the moments; default %(default)s")
    add("--no-training", action="store_true", help="leave out the trainings")
    add("--no-faults", action="store_true", help="only kill")
    add("--folder", type=Path, help="where to work, kept; default a new temporary one")
    add("--step", type=int, help="only this moment: a step in the file system")
    add("--seconds", type=float, help="only this moment: after so many seconds")
    add("--whom", choices=("all", "first"), default="all", help="which processes die; default %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
