"""Find emboli in scans with an ensemble of trained models.

pe-nnunet-predict-fused -i STUDY -o OUT -d 501 -f 0 1 2 3 4

STUDY is a DICOM folder, a NIfTI, NRRD or MHA file, or a folder with any mixture of those. Each scan is cropped to its
lungs, predicted by every fold of every model, averaged, parted into emboli and pasted back onto its own grid.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pe_nnunet.cli.engine_options import add_engine, engine, settings
from pe_nnunet.cli.predictor_options import add_predictor, predictor_arguments, say_predictor
from pe_nnunet.cli.scan_options import add_input, add_limits, add_reading, limits, place, say_names, scans_of
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.files.objects import require_address
from pe_nnunet.options import add_options
from pe_nnunet.outputs.writers import kinds_for


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet predict-fused`."""
    add_input(parser, stored=True)
    parser.add_argument(
        "-o", dest="output", type=place, required=True, help="folder for the results, or an address: s3://BUCKET/PREFIX"
    )
    add_predictor(parser)
    where = parser.add_argument_group("where emboli are looked for")
    where.add_argument(
        "--roi",
        choices=("lungs", "artery"),
        default="lungs",
        help="search the lungs' convex hull, or only along the arteries; default %(default)s",
    )
    where.add_argument(
        "--artery",
        type=Path,
        help="with --roi artery: mask of the arteries, or a folder with one <case>.nii.gz a scan; default: what the "
        "first model that tells arteries takes for them",
    )
    add_options(where, ConvertOptions, "lung_margin_mm", "on_no_lungs")
    parser.add_argument_group("what is told about them").add_argument(
        "--anatomy",
        type=Path,
        metavar="FOLDER",
        help="masks named as TotalSegmentator names them (lung_arteries, heart_ventricle_right, ...), or a folder with "
        "one such folder <case> a scan: for the level by following the arteries, lobe, obstruction, Qanadli and "
        "Mastora scores, and the ratio of the ventricles",
    )
    batch = parser.add_argument_group("many scans")
    batch.add_argument(
        "--resume", action="store_true", help="leave out what is complete, with the same models and settings"
    )
    add_limits(batch)
    batch.add_argument("--num-parts", type=int, default=1, help="divide the scans for as many machines or devices")
    batch.add_argument("--part-id", type=int, default=0, help="which part this is, from 0 on; default %(default)s")
    add_engine(parser)
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Predict; see `configure` for the arguments."""
    from pe_nnunet.burden import anatomy_files
    from pe_nnunet.cases.made_there import MadeThere
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.errors import ConfigurationError
    from pe_nnunet.files.scratch import scratch
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.inference.inputs import read_inputs
    from pe_nnunet.processes.case_process import start_ahead
    from pe_nnunet.volumes.stored import StoredStudy

    refs = scans_of(args, stored=True)
    if not 0 <= args.part_id < args.num_parts:
        raise ConfigurationError(
            "PE-MODEL-007",
            f"--part-id {args.part_id} of --num-parts {args.num_parts}: expected 0 to their number less 1",
        )
    if args.artery is not None and args.roi != "artery":
        raise ConfigurationError("PE-MODEL-007", "--artery says where to look under --roi artery alone: give both")
    if args.anatomy is not None:
        anatomy_files(args.anatomy, "")  # whether there is such a folder
    outputs = kinds_for(args.switches)
    made_of = predictor_arguments(args, outputs, along_arteries=args.roi == "artery" and args.artery is None)
    local = settings(args).engine == "local"
    with ExitStack() as until_done:
        stored_at, folder = "", args.output
        if isinstance(args.output, str) or any(isinstance(ref, StoredStudy) for ref in refs):
            temporary = until_done.enter_context(scratch())
        if isinstance(args.output, str):
            stored_at, folder = require_address(args.output), temporary / "tables"
        if local:
            start_ahead(read_inputs.__module__, once=True)
        # beside workers elsewhere, this process checks the models and predicts nothing
        on_head: dict[str, Any] = {"device": "cpu", "inference": replace(made_of["inference"], backend="torch")}
        predictor = PEPredictor(**made_of | ({} if local else on_head))
        say_names(hash_names=args.hash_names, refused=sum(ref.refused for ref in refs))
        say_predictor(predictor, predictor.notes if local else predictor.choice.notes)
        workers = until_done.enter_context(engine(args, None if stored_at else folder, networks=True))
        written, failed = predict_batch(
            predictor,
            refs,
            folder,
            outputs=outputs,
            artery=args.artery,
            anatomy=args.anatomy,
            resume=args.resume,
            part=args.part_id,
            parts=args.num_parts,
            limits=limits(args),
            engine=workers,
            elsewhere=None if workers is None else MadeThere(PEPredictor, **made_of),
            stored_at=stored_at,
        )
    print(f"{len(written)} scans written to {args.output}, {len(failed)} failed", flush=True)
    if not failed:
        return DONE
    return SOME_FAILED if written else NOTHING_DONE
