"""Find emboli in studies as they arrive, and send what was found back.

pe-nnunet serve -o STATE -m MODEL --watch INBOX --send-folder OUTBOX --page-port 8050
pe-nnunet serve -o STATE -m MODEL --port 11112 --allow SCANNER --send-to PACS@127.0.0.1:4242
pe-nnunet serve -o STATE -m MODEL --page-port 8050 --stow-in --stow http://127.0.0.1:8042/dicom-web
pe-nnunet serve -o STATE -m MODEL --orthanc http://127.0.0.1:8042 --stow http://127.0.0.1:8042/dicom-web
pe-nnunet serve -o STATE -m MODEL --watch INBOX --dry-run
pe-nnunet serve -o STATE --retry UID

STATE holds the queue, the images that came and the results; a server that was killed goes on where it was. A study is
complete when no image of it came for a while; the series that looks most like a CTPA is taken, and the log says why.
Logs and names of files hold UIDs, and no patient's name.

Nothing is sent anywhere, and nobody may send, unless an option says so.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from pe_nnunet.cli.predictor_options import add_predictor, predictor_arguments, say_predictor
from pe_nnunet.cli.scan_options import REPAIRS, add_limits, limits
from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.options import add_options, chosen
from pe_nnunet.outputs.writers import kinds_for
from pe_nnunet.serving.settings import NodeSettings, ServeSettings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pe-nnunet serve`."""
    parser.add_argument(
        "-o", dest="output", type=Path, required=True, metavar="STATE", help="folder of the queue and the results"
    )
    parser.add_argument("--watch", type=Path, metavar="FOLDER", help="take in CT images that appear below this folder")
    parser.add_argument(
        "--orthanc", metavar="URL", help="take in CT series that become stable in this Orthanc from now on"
    )
    parser.add_argument(
        "--stow", metavar="URL", help="send segmentation, report and key images to this DICOMweb service"
    )
    parser.add_argument("--send-folder", type=Path, metavar="FOLDER", help="send results to this folder")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say which studies lie in the watched folder and which series would be taken; store, predict and send "
        "nothing",
    )
    parser.add_argument(
        "--retry",
        metavar="UID",
        help="put this failed or finished study into the queue again, also of a running server",
    )
    add_options(parser, ServeSettings)
    add_options(parser.add_argument_group("DICOM connections"), NodeSettings)
    add_predictor(parser)
    reading = parser.add_argument_group("reading")
    add_options(reading, ConvertOptions, "lung_margin_mm", "on_no_lungs", *REPAIRS)
    add_limits(reading)


def run(args: argparse.Namespace) -> int:
    """Serve; see `configure` for the arguments."""
    from pe_nnunet.cli import DONE
    from pe_nnunet.fusion.settings import FusionSettings
    from pe_nnunet.serving.start import dry_run, opened_queue

    settings, node = ServeSettings(**chosen(args, ServeSettings)), NodeSettings(**chosen(args, NodeSettings))
    FusionSettings(**chosen(args, FusionSettings))  # says what is out of range
    if args.retry is not None:
        with opened_queue(args.output, make=False) as queue:
            study = queue.again(args.retry)
        print(f"study {study.uid}: was {study.state}, waits again")
        return DONE
    if args.dry_run:
        dry_run(args.watch)
        return DONE
    return _serve(args, settings, node)


def _serve(args: argparse.Namespace, settings: ServeSettings, node: NodeSettings) -> int:
    from pe_nnunet.cli import DONE
    from pe_nnunet.inference import PEPredictor
    from pe_nnunet.inference.inputs import read_inputs
    from pe_nnunet.processes.case_process import start_ahead
    from pe_nnunet.serving.answer import Answerer
    from pe_nnunet.serving.counts import Counts
    from pe_nnunet.serving.destinations import Destination, FolderDestination
    from pe_nnunet.serving.dicom_node import listening
    from pe_nnunet.serving.dicom_peer import DicomPeer
    from pe_nnunet.serving.dicomweb import OrthancFeed, StowDestination
    from pe_nnunet.serving.intake import Intake
    from pe_nnunet.serving.log import say
    from pe_nnunet.serving.retention import TIDY_S, Retention
    from pe_nnunet.serving.server import RESULTS, Server
    from pe_nnunet.serving.start import STUDIES, ending_gently, held, opened_queue
    from pe_nnunet.serving.stow import StowReceiver
    from pe_nnunet.serving.watched_folder import WatchedFolder
    from pe_nnunet.serving.web import pages
    from pe_nnunet.serving.worklist import Worklist

    destinations: list[Destination] = [DicomPeer(peer, node.ae_title, node.tls) for peer in node.peers]
    if args.stow is not None:
        destinations.append(StowDestination(args.stow))
    if args.send_folder is not None:
        destinations.append(FolderDestination(args.send_folder))
    outputs = kinds_for(args.switches)
    counts = Counts()
    with opened_queue(args.output) as queue, ExitStack() as ends:
        intake = Intake(args.output / STUDIES, queue, settings.quota_bytes)
        ends.enter_context(held(args.output, queue, intake))
        start_ahead(read_inputs.__module__)
        predictor = PEPredictor(**predictor_arguments(args, outputs))
        say_predictor(predictor, predictor.notes)
        server = Server(
            args.output,
            queue,
            intake,
            Answerer(predictor, outputs, limits(args)),
            quiet_s=settings.quiet_s,
            destinations=destinations,
            counts=counts,
        )
        finished = "sent" if destinations else "done"
        retention = Retention(queue, intake, args.output / RESULTS, settings, finished, counts)
        server.every(TIDY_S, "tidying", retention.tidy)
        if args.orthanc is not None:
            server.every(settings.look_s, "Orthanc", OrthancFeed(args.orthanc, intake, queue).look)
        if args.watch is not None:
            server.every(settings.look_s, "watching", WatchedFolder(args.watch, intake, queue).look)
        ends.enter_context(ending_gently(server.stop))
        worklist = Worklist(queue, args.output / RESULTS, settings.prevalence, settings.score_prevalence)
        stow = StowReceiver(intake, counts) if settings.stow_in else None
        ends.enter_context(pages(settings.page_port, worklist, counts, args.output, stow))
        ends.enter_context(listening(node, intake, counts))
        say("ready")
        server.run()
        say("ended; what was running will be begun again")
    return DONE
