"""Check a published result: score the findings behind it under both FROC protocols, beside the published figures.

pe-nnunet reproduce aanet --cad-pe DIR --findings DIR -o SCORES

CAD-PE's DIR holds the labels in rs/ (or label/): 0021RefStd.nrrd, or 021RefStd.nrrd. The findings are those of AANet's
own repository, <scan>.csv (id,x,y,z,prob) and <scan>.nii.gz; without --findings they are made, from the scans in
CAD-PE's images/ (or image/) with the model that `pe-nnunet import-aanet` wrote.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pe_nnunet.cli.model_options import add_device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet reproduce`."""
    parser.add_argument("what", choices=["aanet"], help="whose result")
    parser.add_argument("--cad-pe", required=True, type=Path, metavar="DIR", help="the unpacked CAD-PE dataset")
    parser.add_argument("--findings", type=Path, metavar="DIR", help="AANet's findings; made with -d if not given")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SCORES", help="folder for the scores")
    parser.add_argument("-d", dest="dataset", default="900", help="of the imported model (default: 900)")
    add_device(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="that score (default: by cases and processors)")


def run(args: argparse.Namespace) -> int:
    """Find or make the findings, score, write, print."""
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.evaluation import write_evaluation
    from pe_nnunet.evaluation.reproduce import reproduction_table, score_findings

    findings = args.findings or _predicted(args)
    evaluation = score_findings(findings, args.cad_pe, workers=args.workers)
    for failure in evaluation.failures:
        print(failure, file=sys.stderr)
    if not evaluation.cases:
        return NOTHING_DONE
    write_evaluation(evaluation, args.output)
    print(reproduction_table(evaluation))
    print(f"\nwritten: {args.output / 'summary.json'}, {args.output / 'report.html'}")
    return SOME_FAILED if evaluation.failures else DONE


def _predicted(args: argparse.Namespace) -> Path:
    """Findings of the imported model on the test scans, made as AANet's authors make them."""
    from pe_nnunet.evaluation.reproduce import TEST_SCANS, cad_pe_folder
    from pe_nnunet.fusion import FusionSettings
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.batch import predict_batch
    from pe_nnunet.inference.locate import locate_models
    from pe_nnunet.inference.settings import InferenceSettings
    from pe_nnunet.volumes import find_scans

    images = cad_pe_folder(args.cad_pe, "images", "image")
    models = locate_models(args.dataset, ["PEAANetTrainer"], ["PEAANetPlans"], ["3d_fullres"], None)
    refs = [ref for ref in find_scans(images) if ref.case_id in TEST_SCANS]
    fusion = FusionSettings(threshold=0.5, min_volume_mm3=0.0, nms_mm=10.0)
    predictor = PEPredictor(
        models, device=args.device, fusion=fusion, inference=InferenceSettings(step=0.75, mirroring=False)
    )
    folder: Path = args.output / "findings"
    predict_batch(predictor, refs, folder)
    return folder
