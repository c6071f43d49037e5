"""Many studies by four senders at once, and a server that is killed in between: is every study answered once?

    python -m tests.serving.two_hundred FOLDER [--studies 200] [--kills 3]

sends small phantoms with DCMTK's storescu to `pe-nnunet serve` with the stand-in predictor, kills it at random moments
and starts it again; a sender repeats what was not accepted. Results go to a folder. It prints what came of it.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pe_nnunet.serving.study_queue import StudyQueue
from tests.serving.conftest import STAND_IN, write_study
from tests.serving.pacs import dcmtk, free_port, listens, wait_for

SENDERS, QUIET_S = 4, 5.0


def start(state: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    options = [
        "-o",
        state,
        "--port",
        port,
        "--allow",
        "SCANNER",
        "--quiet-s",
        QUIET_S,
        "--send-folder",
        state.parent / "out",
    ]
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, STAND_IN, *map(str, options)], stdout=file, stderr=file)


def send(folder: Path, port: int) -> int:
    """Send a study until all of it was accepted; how often it was begun."""
    tries = 1
    while dcmtk("storescu", "+sd", folder, port=port) != 0:
        tries += 1
        time.sleep(0.5)
    return tries


def main(folder: Path, studies: int, kills: int, seed: int) -> int:
    uids = [write_study(folder / "in" / str(n), n) for n in range(1, studies + 1)]
    state, log, port = folder / "state", folder / "log", free_port()
    began = time.monotonic()
    server = start(state, port, log)
    wait_for(lambda: listens(port), 600)
    draw, killed_after = random.Random(seed), []  # noqa: S311 - moments
    with ThreadPoolExecutor(SENDERS) as pool:
        tries = pool.map(lambda n: send(folder / "in" / str(n), port), range(1, studies + 1))
        queue = StudyQueue(state / "queue.sqlite")
        for share in sorted(draw.uniform(0.05, 0.9) for _ in range(kills)):
            wait_for(lambda share=share: queue.counts()["sent"] >= share * studies, 36000)
            server.send_signal(signal.SIGKILL)
            server.wait()
            killed_after.append({name: n for name, n in queue.counts().items() if n})
            server = start(state, port, log)
        begun = sum(tries)
    wait_for(lambda: sum(queue.counts()[name] for name in ("sent", "failed")) == studies, 36000)
    took_s = time.monotonic() - began
    server.send_signal(signal.SIGTERM)
    server.wait()
    found = {study.uid: study for study in queue.studies()}
    once = sum(found[uid].state == "sent" and found[uid].answers == 1 for uid in uids if uid in found)
    print(f"{studies} studies by {SENDERS} senders, sent {begun} times, in {took_s:.0f} s")
    print(f"killed {kills} times, at {killed_after}")
    print(f"{once} answered once, {sum(s.answers > 1 for s in found.values())} more than once, ", end="")
    print(
        f"{queue.counts()['failed']} failed, {studies - len(found)} lost, "
        f"{len(list((folder / 'out').iterdir()))} results"
    )
    return 0 if once == studies else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(main(given.folder, given.studies, given.kills, given.seed))
