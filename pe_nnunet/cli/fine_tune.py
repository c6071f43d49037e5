"""Train on your own scans from the weights of a trained model, with a lower learning rate.

pe-nnunet fine-tune -m starter -d 501
pe-nnunet fine-tune -m model.zip -d 501 -f 0 1 2 3 4 --learning-rate 5e-5 --epochs 100

nnU-Net's own steps in one command: fingerprint of the dataset, the model's plans moved to it, preprocessing, training
and validation. Any nnU-Net model serves, whichever trainer it is from. What does not fit is said before anything is
computed; the same command again goes on with what was stopped. Keys of the training recipe: PE_NNUNET_RECIPE.
"""

from __future__ import annotations

import argparse

from pe_nnunet.cli.model_options import MODEL_HELP, add_device, add_trust, trust
from pe_nnunet.inference.locate import FINAL
from pe_nnunet.options import add_options, chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet fine-tune`."""
    from pe_nnunet.fine_tuning.settings import FineTuneSettings

    add = parser.add_argument
    add("-m", "--model", dest="model", required=True, metavar="MODEL", help=MODEL_HELP)
    add("-d", dest="dataset", required=True, help="dataset id or name under nnUNet_raw")
    add("-f", dest="folds", nargs="+", default=["0"], metavar="FOLD", help="fold(s) to train, or all; default 0")
    training = parser.add_argument_group("training")
    add_device(training)
    add_options(training, FineTuneSettings)
    training.add_argument("--npz", action="store_true", help="write the probabilities of the validation, for find-best")
    which = parser.add_argument_group("the model")
    which.add_argument("-c", dest="configuration", help="has to be the model's; default: that")
    which.add_argument("-chk", dest="checkpoint", default=FINAL, help="of the model; default %(default)s")
    add_trust(which, checkpoints=False)


def run(args: argparse.Namespace) -> int:
    """Fine-tune; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.fine_tuning import FineTuneSettings, fine_tune
    from pe_nnunet.inference.named_models import name_notes

    trust(args)
    for note in name_notes([args.model]):
        print(note, flush=True)
    made = fine_tune(
        args.model,
        args.dataset,
        args.folds,
        FineTuneSettings(**chosen(args, FineTuneSettings)),
        configuration=args.configuration,
        checkpoint=args.checkpoint,
        device=args.device,
        npz=args.npz,
    )
    where = f"-d {made.dataset} -tr {made.trainer} -p {made.plans} -c {made.configuration} -f {' '.join(made.folds)}"
    print("next:")
    if made.folds != ("all",):
        print(f"    pe-nnunet calibrate {where}")
    print(f"    pe-nnunet-predict-fused -i STUDY -o OUT {where}", flush=True)
    return DONE
