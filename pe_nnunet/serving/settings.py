"""How the server behaves, as options of the command."""

from __future__ import annotations

from dataclasses import dataclass

from pe_nnunet.options import option, require_limits


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """When studies are complete, and how much is kept of them and for how long.

    Raises:
        ConfigurationError: PE-SRV-007 if one is outside its limits.
    """

    quiet_s: float = option(30.0, "seconds without a new image after which a study is complete", low=0, high=86400)
    look_s: float = option(5.0, "seconds between two looks at the watched folder or at Orthanc", above=0, high=86400)
    quota_gb: float | None = option(
        None,
        "images that are kept take at most so many GB; beyond that the oldest finished studies go, then images are refused",
        above=0,
        kind=float,
        metavar="GB",
        default_text="no limit",
    )
    keep_days: float | None = option(
        None,
        "images and results of a finished study are removed after so many days",
        low=0,
        kind=float,
        metavar="DAYS",
        default_text="they are kept",
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-SRV-007")

    @property
    def quota_bytes(self) -> int | None:
        """The quota in bytes."""
        return None if self.quota_gb is None else int(self.quota_gb * 1e9)
