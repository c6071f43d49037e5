"""How many workers fit on the machines of a cluster, and what each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pe_nnunet.cluster.settings import EngineSettings

CPUS = 4  # of a worker without a GPU: more help a network little


@dataclass(frozen=True)
class Slots:
    """Workers that fit.

    Attributes:
        number: On all machines together.
        cpus: Processors of each.
        gpus: GPUs, or a share of one, of each.
    """

    number: int
    cpus: int
    gpus: float


def slots(machines: Sequence[Mapping[str, float]], settings: EngineSettings, *, networks: bool) -> Slots:
    """Divide machines into workers, which are all alike.

    Args:
        machines: `CPU` and `GPU` of each.
        settings: What is asked for.
        networks: Whether workers run networks; else they get one processor and no GPU, unless more is asked for.

    Example:
        >>> slots([{"CPU": 64, "GPU": 8}, {"CPU": 32, "GPU": 2}], EngineSettings(engine="ray"), networks=True)
        Slots(number=10, cpus=8, gpus=1)
        >>> slots([{"CPU": 2}, {"CPU": 16}], EngineSettings(engine="ray"), networks=True)
        Slots(number=9, cpus=2, gpus=0)
        >>> slots([{"CPU": 2}, {"CPU": 16}], EngineSettings(engine="ray"), networks=False)
        Slots(number=18, cpus=1, gpus=0)
    """
    gpus = settings.gpus_per_worker
    if gpus is None:
        gpus = 1 if networks and any(machine.get("GPU", 0) >= 1 for machine in machines) else 0
    usable = [machine for machine in machines if machine.get("CPU", 0) >= 1 and machine.get("GPU", 0) >= gpus]
    by_gpu = [_whole(machine.get("GPU", 0) / gpus) if gpus else 0 for machine in usable]
    cpus = settings.cpus_per_worker
    if cpus is None:
        of_gpus = [_whole(machine["CPU"] / number) for machine, number in zip(usable, by_gpu, strict=True) if number]
        smallest = min(of_gpus or (int(machine["CPU"]) for machine in usable), default=1)
        cpus = max(1, smallest if gpus else min(CPUS, smallest)) if networks else 1
    by_cpu = [_whole(machine["CPU"] / cpus) for machine in usable]
    fitting = [min(pair) for pair in zip(by_cpu, by_gpu, strict=True)] if gpus else by_cpu
    return Slots(sum(fitting), cpus, gpus)


def _whole(number: float) -> int:
    return int(number + 1e-6)  # a third of a GPU fits three times
