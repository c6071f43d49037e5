"""Cases whose work, or whose reading alone, is done in processes beside this one, where a crash costs one case."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import Any

from pe_nnunet.cases.outcome import CaseFailure
from pe_nnunet.processes.case_process import CaseProcess, Lost, case_processes, first_done

Attempt = Callable[[str, Any], Any]  # of a case and what belongs to it: its result, or a `CaseFailure`
Outcomes = Generator[tuple[str, Any], None, None]


def work_apart(
    attempt: Attempt, items: Mapping[str, Any], workers: int, in_order: bool, died: str, timeout_s: float | None
) -> Outcomes:
    """Do all cases in processes.

    A case whose process was killed from outside, as systems do when memory runs out, is done again in the end, alone:
    it may be another's need that killed it.

    Args:
        attempt: Pickled, as the items are.
        items: By case id, in the order in which they are begun.
        workers: Processes.
        in_order: Give outcomes in the order of the cases, not as they are done.
        died: Code of a case whose process died.
        timeout_s: For each case; None for no limit.
    """
    order, done = deque(items), dict[str, Any]()
    for case_id, found in _as_done(attempt, items, workers, died, timeout_s):
        if not in_order:
            yield case_id, found
            continue
        done[case_id] = found
        while order and order[0] in done:
            first = order.popleft()
            yield first, done.pop(first)


def read_apart(attempt: Attempt, items: Mapping[str, Any], died: str, timeout_s: float | None) -> Outcomes:
    """Read cases in one process, each while this process works on the one before.

    A case that lacked memory, or was killed, while another was worked on is read again without one.

    Args:
        attempt: Reads; pickled, as the items are.
        items: By case id, in the order in which they are read.
        died: Code of a case whose process died.
        timeout_s: For each case; None for no limit.
    """
    order = list(items)
    with case_processes(1 if order else 0) as processes:

        def begin(case_id: str) -> None:
            processes[0] = processes[0] if processes[0].alive else CaseProcess(once=processes[0].once)
            processes[0].begin(attempt, case_id, items[case_id], timeout_s=timeout_s)

        for k, case_id in enumerate(order):
            if k == 0:
                begin(case_id)
            found = processes[0].result()
            if k > 0 and _for_want_of_memory(found):
                begin(case_id)
                found = processes[0].result()
            if k + 1 < len(order):
                begin(order[k + 1])
            elif processes[0].once:
                processes[0].kill()  # it holds what it has imported, and the last case may need the memory
            yield case_id, CaseFailure.of_lost(case_id, found, died) if isinstance(found, Lost) else found
            del found  # a volume, not to be kept beside the next


def _for_want_of_memory(found: Any) -> bool:
    if isinstance(found, Lost):
        return found.killed or found.kind == "memory"
    return isinstance(found, CaseFailure) and found.code == "PE-IN-006"


def _as_done(attempt: Attempt, items: Mapping[str, Any], workers: int, died: str, timeout_s: float | None) -> Outcomes:
    waiting, again = deque(items), deque[str]()
    workers = min(workers, len(items))
    with case_processes(workers) as processes:
        running: dict[CaseProcess, str] = {}
        while waiting or running or again:
            if not waiting and not running:  # alone, one after another
                waiting, again, processes[:] = again, deque(), processes[:1]
            for k, process in enumerate(processes):
                if not waiting or process in running:
                    continue
                if not process.alive:
                    processes[k] = process = CaseProcess()
                case_id = running[process] = waiting.popleft()
                process.begin(attempt, case_id, items[case_id], timeout_s=timeout_s, threads=1 if workers > 1 else 0)
            process = first_done(running)
            case_id, found = running.pop(process), process.result()
            if isinstance(found, Lost):
                if found.killed and len(processes) > 1:
                    again.append(case_id)
                    continue
                found = CaseFailure.of_lost(case_id, found, died)
            yield case_id, found
