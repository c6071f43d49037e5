"""Compare two methods that were scored on the same scans.

pe-nnunet compare A B

A and B are folders that `pe-nnunet evaluate -o` wrote, with the same labels, read in the same way, and the same
options. Prints each number of both, their difference (B less A) with its 95 % interval over resampled scans, and the
p-value of a paired permutation test; -o writes them as JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet compare`."""
    parser.add_argument("first", type=Path, metavar="A", help="scores of the first method")
    parser.add_argument("second", type=Path, metavar="B", help="scores of the second method")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write the comparison too")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="samples (default: 1000; 0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Read both, compare, print."""
    from dataclasses import asdict

    from pe_nnunet.cli import DONE
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.evaluation.compare import compare, require_same_labels, require_same_reading
    from pe_nnunet.evaluation.text_tables import read_cases
    from pe_nnunet.files import atomic_json
    from pe_nnunet.metrics.bootstrap import Resampling

    if args.bootstrap < 0:
        raise ConfigurationError("PE-EVAL-003", f"{args.bootstrap} bootstrap samples: expected 0 or more")
    first, second = read_cases(args.first), read_cases(args.second)
    notes = [*require_same_reading(args.first, args.second), *require_same_labels(args.first, args.second)]
    found = compare(first, second, Resampling(args.bootstrap, args.seed))
    print(f"{len(first)} scans; A {args.first}, B {args.second}\n")
    print(f"{'':<26}{'A':>8}{'B':>8}  {'B less A [95 % interval]':<28}{'p':>6}")
    for name, row in found.items():
        a, b, p = ("-" if v is None else f"{v:.3f}" for v in (row.first, row.second, row.p_value))
        print(f"{name.replace('_', ' '):<26}{a:>8}{b:>8}  {row.difference!s:<28}{p:>6}")
    for note in notes:
        print(note)
    if args.output:
        atomic_json(
            args.output, {n: row._asdict() | {"difference": asdict(row.difference)} for n, row in found.items()}
        )
        print(f"\nwritten: {args.output}")
    return DONE
