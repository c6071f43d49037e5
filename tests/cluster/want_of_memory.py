"""A case that takes all memory, on two machines that are raylets here: is it given up, and are all others done?

    python -m tests.cluster.want_of_memory [--gib 2]

Ray's memory monitor watches the whole machine, so it is told to end workers once so many GiB more are in use than now:
nothing else should be at work. The case takes twice as much, at every worker that gets it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psutil

from tests.cluster.conftest import LEAN, with_this_folder


def main(gib: float) -> int:
    """Run it; 1 if a case is lost or done twice, or if anything but the greedy one is given up."""
    memory = psutil.virtual_memory()
    most = (memory.total - memory.available + gib * 2**30) / memory.total
    os.environ |= {"RAY_memory_usage_threshold": f"{most:.3f}"}
    from ray.cluster_utils import Cluster

    from pe_nnunet.cases import CaseFailure, run_cases
    from pe_nnunet.cluster import EngineSettings, engine_of
    from tests.cluster.jobs import greedy

    machines = Cluster(initialize_head=True, head_node_args=LEAN | {"no_monitor": True, "include_dashboard": False})
    machines.add_node(**LEAN)
    cases = {str(k): (k, 2 * gib if k == 5 else 0.0) for k in range(40)}
    settings = EngineSettings(engine="ray", address=str(machines.address))
    with tempfile.TemporaryDirectory() as folder, engine_of(settings, Path(folder)) as engine:
        outcomes = list(run_cases(greedy, cases, engine=engine))
    machines.shutdown()
    failed = [outcome for _, outcome in outcomes if isinstance(outcome, CaseFailure)]
    print(*failed, sep="\n")
    done = sorted(outcome for _, outcome in outcomes if isinstance(outcome, int))
    print(f"{len(done)} of {len(cases)} cases done, {len(failed)} given up")
    whole = done == [k for k in range(40) if k != 5] and [one.case_id for one in failed] == ["5"]
    return int(not whole)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=2.0, help="that may be taken; default %(default)g")
    given = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    os.environ["PYTHONPATH"] = with_this_folder()
    sys.exit(main(given.gib))
