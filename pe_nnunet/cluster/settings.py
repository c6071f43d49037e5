"""Where cases are worked on, as the command line asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.options import option, require_limits


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Where cases are worked on.

    Raises:
        ConfigurationError: PE-CLU-006 if a value is out of range, or has no meaning without Ray.
    """

    engine: str = option(
        "local", "what hands out cases; ray: to workers on this machine, or on a cluster", choices=("local", "ray")
    )
    address: str | None = option(
        None,
        "of a Ray cluster: HOST:PORT, or auto for the one that runs here",
        kind=str,
        metavar="ADDRESS",
        default_text="Ray is started on this machine for this run",
    )
    gpus_per_worker: float | None = option(
        None,
        "GPUs of a worker on Ray; 0.5: two share one, 0: none",
        low=0,
        high=64,
        kind=float,
        default_text="1 where a machine has any",
    )
    cpus_per_worker: int | None = option(
        None,
        "processors of a worker on Ray",
        low=1,
        kind=int,
        default_text="4, or all where a machine has fewer; of one with GPUs its share",
    )
    max_workers: int | None = option(
        None,
        "workers on Ray, also where they must wait for machines that a cluster starts when they are asked for",
        low=1,
        kind=int,
        default_text="as many as fit on the machines that there are",
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-CLU-006")
        gpus = self.gpus_per_worker or 0
        if round(gpus, 4) != gpus or (gpus > 1 and gpus % 1):  # Ray has no other shares
            raise ConfigurationError(
                "PE-CLU-006",
                f"--gpus-per-worker is {gpus}, expected a whole number, or up to 1 with at most four decimals",
                "0.3333: three workers share a GPU",
            )
        if self.engine == "local" and any(
            value is not None for value in (self.address, self.gpus_per_worker, self.cpus_per_worker, self.max_workers)
        ):
            raise ConfigurationError(
                "PE-CLU-006",
                "--address, --gpus-per-worker, --cpus-per-worker and --max-workers are for --engine ray",
                "give --engine ray too, or leave them out",
            )
