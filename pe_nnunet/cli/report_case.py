"""An anonymised bundle of a case that fails, for a report of the failure.

pe-nnunet report-case STUDY
pe-nnunet report-case STUDY --output-of OUT --command "pe-nnunet predict-fused -i STUDY -o OUT -m MODEL"
pe-nnunet report-case scan.nii.gz --list

STUDY is what predict-fused or convert was given, but one case alone: a DICOM folder or file, or a volume file. The zip
file holds headers without what identifies, by the basic profile of DICOM PS3.15 Annex E and without any other free
text, what the run said of the case, versions, and no pixels unless --pixels asks for them. A file that cannot be read
is there by its size, kind and hash alone.

Nothing is sent anywhere. No program finds everything that tells who a person is: look at the bundle before you send it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet report-case`."""
    parser.add_argument("source", type=Path, help="DICOM folder or file, or volume file, of one case")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("pe-nnunet-report.zip"), help="(default: %(default)s)", metavar="FILE"
    )
    parser.add_argument("--list", action="store_true", help="print what would be in the bundle, and write nothing")
    parser.add_argument("--pixels", action="store_true", help="with pixels, in which text may be burnt and faces seen")
    said = parser.add_argument_group("what the run said")
    chosen = said.add_mutually_exclusive_group()
    chosen.add_argument("--errors", type=Path, metavar="FILE", help="errors.json of the run")
    chosen.add_argument(
        "--output-of", type=Path, metavar="FOLDER", help="what the run wrote; errors.json is found there"
    )
    said.add_argument("--log", type=Path, metavar="FILE", help="what the run printed; lines about the case are taken")
    said.add_argument("--command", default="", metavar="TEXT", help="the command, in quotes")
    said.add_argument("--case", default="", metavar="ID", help="what results call the case (default: from its path)")


def run(args: argparse.Namespace) -> int:
    """Write or list the bundle; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.failure_report.bundle import READ_ME, ReportRequest, members, write_bundle

    names = ("source", "pixels", "errors", "output_of", "log", "command", "case")
    request = ReportRequest(**{name: getattr(args, name) for name in names})
    if args.list:
        listed: list[str] = []
        for member in members(request):
            print(f"{len(member.content):10d} {member.name}", flush=True)
            if not member.name.startswith("files/"):
                print(member.content.decode())
            listed += member.warnings
        _warn(listed)
        return DONE
    written = write_bundle(request, args.output)
    _warn([warning for member in written for warning in member.warnings])
    text = next(member.content.decode() for member in written if member.name == READ_ME)
    print(f"{args.output}: {len(written)} files. {text.splitlines()[0]}")
    print("Nothing was sent. Look at every file in it before you send it: no program finds all that tells a person.")
    return DONE


def _warn(warnings: list[str]) -> None:
    for warning, files in Counter(warnings).items():
        print(f"{warning}: {files} file{'s' * (files > 1)}", file=sys.stderr, flush=True)
