"""Results on their way: each study to each destination once, again later where one cannot be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pe_nnunet.cases import CaseFailure
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.destinations import Destination, result_files
from pe_nnunet.serving.log import say
from pe_nnunet.serving.study import Study
from pe_nnunet.serving.study_queue import StudyQueue

MAX_TRIES = 150  # about a day
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 600.0


def deliver(queue: StudyQueue, results: Path, destinations: Sequence[Destination], counts: Counts) -> None:
    """Send what is to be sent now.

    Args:
        queue: Says which studies are done, and which destination has them.
        results: Folder with one folder of results a study.
        destinations: All that get results; without any, studies stay done.
        counts: What happened how often; it is added to.

    Raises:
        OutputError: PE-SRV-001 if the queue cannot be written.
    """
    for study in queue.outgoing() if destinations else ():
        tried = [_send(queue, results, study, to, counts) for to in destinations]
        failures = [failure for failure in tried if failure is not None]
        if not failures:
            queue.all_sent(study)
            counts.add("sent")
            say(f"study {study.uid}: sent")
            continue
        tries = study.tries + 1
        wait_s = None if tries >= MAX_TRIES else min(FIRST_WAIT_S * 2.0 ** (tries - 1), LONGEST_WAIT_S)
        counts.add("send_failed")
        queue.failed(failures[0], "done", again_in_s=wait_s)
        say(f"study {failures[0]}" + ("" if wait_s is None else f"; again in {wait_s:.0f} s"))


def _send(queue: StudyQueue, results: Path, study: Study, to: Destination, counts: Counts) -> CaseFailure | None:
    """Send to one destination, unless it has the results; why that failed, if it did."""
    if queue.has(study.uid, to.name):
        return None
    try:
        to.send(study.uid, result_files(study.uid, results / study.uid))
    except Exception as error:  # noqa: BLE001 - one destination must not stop the others; its error is listed
        failure = CaseFailure.of(study.uid, error)
        counts.trouble(to.name, f"{failure.code}: {failure.message}")
        return failure
    counts.trouble(to.name, "")
    queue.sent(study, to.name)
    return None
