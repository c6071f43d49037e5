"""Choose models, ensembles and thresholds by cross-validation, for emboli instead of voxels.

pe-nnunet find-best -d 501

Takes the probabilities that `nnUNetv2_train ... --npz` leaves in fold_X/validation, tries every model, every ensemble
of them, threshold and smallest finding, and writes find_best.json and find_best.txt, the pe-nnunet-predict-fused
command to run, into nnUNet_results/DATASET. The best has the highest F1 of emboli, or under --max-false-positives the
highest sensitivity at no more than so many false findings a scan. (nnU-Net's own nnUNetv2_find_best_configuration
chooses by Dice, averaged over arteries and PE where both are labelled.)
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet find-best`."""
    parser.add_argument("-d", dest="dataset", required=True, help="dataset id or name")
    parser.add_argument("-tr", dest="trainers", nargs="+", help="trainer(s); default: all models of the dataset")
    parser.add_argument("-p", dest="plans", nargs="+", default=["PETARUNetPlans"], help="with -tr; default %(default)s")
    parser.add_argument(
        "-c", dest="configurations", nargs="+", default=["3d_fullres"], help="with -tr; default %(default)s"
    )
    parser.add_argument("-f", dest="folds", nargs="+", default=["0", "1", "2", "3", "4"], help="default %(default)s")
    parser.add_argument("-o", "--output", type=Path, help="folder; default: nnUNet_results/DATASET")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], help="default %(default)s"
    )
    parser.add_argument(
        "--min-embolus-mm3", type=float, nargs="+", default=[0, 10, 50, 200, 600, 1000], help="default %(default)s"
    )
    parser.add_argument("--ensemble-size", type=int, default=2, help="most models together; default %(default)s")
    parser.add_argument("--max-false-positives", type=float, metavar="N", help="a scan; see above")
    parser.add_argument("--workers", type=int, help="worker processes (default: by cases and processors)")


def run(args: argparse.Namespace) -> int:
    """Score all candidates on all cases, choose, write, print."""
    from pe_nnunet.calibration.cross_validation import cross_validated
    from pe_nnunet.calibration.find_best import choose, ensembles, score_candidates
    from pe_nnunet.calibration.find_best_jobs import candidate_jobs, model_folders
    from pe_nnunet.calibration.find_best_report import best_table, record
    from pe_nnunet.cases import work_through
    from pe_nnunet.cli import DONE, NOTHING_DONE, SOME_FAILED
    from pe_nnunet.dataset.folders import RESULTS, dataset_folder, nnunet_folder
    from pe_nnunet.files import atomic_json, atomic_text

    results = dataset_folder(nnunet_folder(RESULTS), args.dataset)
    folders = model_folders(results, args.trainers, args.plans, args.configurations)
    models = [cross_validated(folder, args.folds) for folder in folders]
    tried = ensembles(models, max(1, min(args.ensemble_size, len(models))))
    jobs = candidate_jobs(tried, args.thresholds, args.min_embolus_mm3)
    scores, failures = work_through(score_candidates, {job.case_id: job for job in jobs}, args.workers, bar="find-best")
    if not scores:
        return NOTHING_DONE
    best = choose(scores, models[0].fold_of, args.max_false_positives)
    found = record(best, scores, failures, results.name, args.folds, args.max_false_positives)
    folder = args.output or results
    atomic_json(folder / "find_best.json", found)
    atomic_text(folder / "find_best.txt", found["command"] + "\n")
    print(f"{len(scores)} cases, {len(found['candidates'])} candidates\n\n{best_table(best, scores)}")
    print(f"\n{found['command']}\n\nwritten: {folder / 'find_best.json'}, {folder / 'find_best.txt'}")
    return SOME_FAILED if failures else DONE
