"""Choose models, ensembles and thresholds by cross-validation, for emboli instead of voxels.

pe-nnunet find-best -d 501

Takes the probabilities that `nnUNetv2_train ... --npz` leaves in fold_X/validation, tries every model, every ensemble
of them, threshold and smallest finding, and writes find_best.json and find_best.txt, the pe-nnunet-predict-fused
command to run, into nnUNet_results/DATASET. The best has the highest F1 of emboli, or under --target-fp the
highest sensitivity at no more than so many false findings a scan; where no candidate finds an embolus, nothing is
written. (nnU-Net's own nnUNetv2_find_best_configuration chooses by Dice, averaged over arteries and PE where both are
labelled.)
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pe_nnunet.cli.model_options import add_dataset_json, add_search, require_target

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MIN_VOLUMES_MM3 = (0.0, 10.0, 50.0, 200.0, 600.0, 1000.0)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet find-best`."""
    parser.add_argument("-d", dest="dataset", required=True, help="dataset id or name")
    parser.add_argument("-o", "--output", type=Path, help="folder; default: nnUNet_results/DATASET")
    models = parser.add_argument_group("models")
    models.add_argument(
        "-tr", dest="trainers", nargs="+", metavar="TRAINER", help="trainer(s); default: all models of the dataset"
    )
    models.add_argument(
        "-p", dest="plans", nargs="+", metavar="PLANS", default=["PETARUNetPlans"], help="with -tr; default %(default)s"
    )
    models.add_argument(
        "-c",
        dest="configurations",
        nargs="+",
        metavar="CONFIGURATION",
        default=["3d_fullres"],
        help="with -tr; default %(default)s",
    )
    models.add_argument(
        "-f", dest="folds", nargs="+", metavar="FOLD", default=["0", "1", "2", "3", "4"], help="default %(default)s"
    )
    models.add_argument("--ensemble-size", type=int, default=2, help="most models together; default %(default)s")
    search = parser.add_argument_group("search")
    add_search(search, thresholds=THRESHOLDS, min_volumes_mm3=MIN_VOLUMES_MM3)
    add_dataset_json(search)
    search.add_argument("--workers", type=int, help="worker processes (default: by cases and processors)")


def run(args: argparse.Namespace) -> int:
    """Count what all candidates find in all cases, choose, score the choice, write, print."""
    from functools import partial

    import numpy as np

    from pe_nnunet.calibration.find_best import candidates_of, choose, count_case, model_folders, score_case
    from pe_nnunet.calibration.find_best_results import find_best_record, find_best_table
    from pe_nnunet.calibration.held_out import refuse_fold_all, require_held_out
    from pe_nnunet.calibration.predicted_by import (
        checkpoints_of_predictions,
        common_checkpoint,
        require_predictions_of,
        require_whole_validation,
    )
    from pe_nnunet.calibration.results import naming_older
    from pe_nnunet.calibration.trained_on import splits_of_models
    from pe_nnunet.calibration.validation_cases import cases_with_probabilities, truth_record
    from pe_nnunet.cases import work_through
    from pe_nnunet.cli import DONE, SOME_FAILED
    from pe_nnunet.dataset.folders import RESULTS, dataset_folder, nnunet_folder
    from pe_nnunet.errors import InputError, Note
    from pe_nnunet.files import atomic_json, atomic_text
    from pe_nnunet.metrics.cohort_scores import summarise

    require_target(args)
    results = dataset_folder(nnunet_folder(RESULTS), args.dataset)
    models = model_folders(results, args.trainers, args.plans, args.configurations)
    refuse_fold_all(args.folds)
    cases = cases_with_probabilities(models, args.folds, args.dataset_json)
    checkpoints = checkpoints_of_predictions(models, args.folds)
    trained = splits_of_models(checkpoints)
    for note in require_held_out(trained, cases):
        print(note, flush=True)
    require_whole_validation(checkpoints, trained, [case.case_id for case in cases])
    require_predictions_of(checkpoints, cases)
    checkpoint = common_checkpoint(checkpoints)
    names = [folder.name for folder in models]
    candidates = candidates_of(names, args.ensemble_size, args.thresholds, args.min_embolus_mm3)
    work = partial(count_case, candidates=candidates)
    counted, failures = work_through(work, {case.case_id: case for case in cases}, args.workers, bar="find-best")
    folder = args.output or results
    with naming_older(folder / "find_best.json", folder / "find_best.txt"):
        if not counted:
            raise InputError("PE-FUS-010", f"nothing can be chosen: none of the {len(cases)} cases could be read")
        cases = [case for case in cases if case.case_id in counted]
        counts = np.stack([counted[case.case_id] for case in cases], axis=1)
        best, held_out = choose(candidates, counts, [case.fold for case in cases], args.target_fp)
    notes = []
    if held_out is None and len({case.fold for case in cases}) > 1:
        text = "no choice can be made on the other folds of every fold, so nothing is known of other scans"
        notes.append(Note("PE-FUS-011", "warning", text))
    chosen = {
        case.case_id: (case, [candidates[best], *([] if held_out is None else [candidates[held_out[place]]])])
        for place, case in enumerate(cases)
    }
    scored, further = work_through(score_case, chosen, args.workers, bar="scores of the best")
    by_fold = sorted(scored, key=lambda case_id: chosen[case_id][0].fold)
    failures += further
    if not scored:
        raise InputError("PE-FUS-010", f"none of the {len(chosen)} cases could be scored")
    found = find_best_record(
        candidates,
        counts,
        best,
        summarise([first for first, *_ in scored.values()]),
        None if held_out is None else summarise([scored[case_id][1] for case_id in by_fold]),
        failures,
        notes,
        dataset=results.name,
        folds=args.folds,
        checkpoint=checkpoint,
        most_false_positives_per_scan=args.target_fp,
        labels=truth_record(cases),
    )
    atomic_json(folder / "find_best.json", found)
    atomic_text(folder / "find_best.txt", found["command"] + "\n")
    print(f"{len(counted)} cases, {len(candidates)} candidates\n\n{find_best_table(found)}")
    for note in notes:
        print(note)
    print(f"\n{found['command']}\n\nwritten: {folder / 'find_best.json'}, {folder / 'find_best.txt'}")
    return SOME_FAILED if failures else DONE
