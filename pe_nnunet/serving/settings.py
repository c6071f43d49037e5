"""How the server behaves, as options of the command."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.options import option, require_limits

_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16}")  # VR AE without spaces and backslash (PS3.5, 6.2)
_PEER = re.compile(r"(?P<title>[^@]+)@(?P<host>[^@]+):(?P<port>\d{1,5})")


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
        "images take at most so many GB: beyond that the oldest finished studies go, then images are refused",
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

    page_port: int | None = option(
        None,
        "worklist page, /health and /metrics on this port of 127.0.0.1",
        low=1,
        high=65535,
        kind=int,
        metavar="N",
        default_text="none",
    )
    stow_in: bool = option(
        False, "receive images by DICOMweb STOW too, at http://127.0.0.1:PORT/dicom-web of the worklist page"
    )
    prevalence: float | None = option(
        None,
        "share of scans with PE here, at which the page shows the score as a probability",
        low=0.0001,
        high=0.9999,
        kind=float,
        metavar="P",
        default_text="estimated from the scores",
    )
    score_prevalence: float | None = option(
        None,
        "share of scans with PE where the score is a calibrated probability: without it the page shows none",
        low=0.0001,
        high=0.9999,
        kind=float,
        metavar="P",
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-SRV-007")
        if self.stow_in and self.page_port is None:
            raise ConfigurationError("PE-SRV-007", "--stow-in without --page-port: there is no server", "give both")
        if self.prevalence is not None and self.score_prevalence is None:
            raise ConfigurationError(
                "PE-SRV-007",
                "--prevalence without --score-prevalence",
                "a score can be brought from one prevalence to another if both are known",
            )

    @property
    def quota_bytes(self) -> int | None:
        """The quota in bytes."""
        return None if self.quota_gb is None else int(self.quota_gb * 1e9)


@dataclass(frozen=True)
class Peer:
    """A DICOM node that results are sent to.

    Attributes:
        title: Its AE title.
        host: Where it is.
        port: See `host`.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parsed(cls, text: str) -> Peer:
        """A peer from `TITLE@HOST:PORT`.

        Raises:
            ConfigurationError: PE-SRV-007 if it is none.

        Example:
            >>> Peer.parsed("PACS@127.0.0.1:4242")
            Peer(title='PACS', host='127.0.0.1', port=4242)
        """
        found = _PEER.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise ConfigurationError(
                "PE-SRV-007", f"--send-to {text!r} is no TITLE@HOST:PORT", "as PACS@127.0.0.1:4242"
            )
        return cls(require_title(found["title"], "--send-to"), found["host"], int(found["port"]))

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.title}@{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """The server as a DICOM node: who may send images to it, and where it sends results.

    Raises:
        ConfigurationError: PE-SRV-007 if one is outside its limits, or nobody may send to the port.
    """

    port: int | None = option(
        None, "receive images by C-STORE on this port", low=1, high=65535, kind=int, metavar="N", default_text="none"
    )
    host: str = option("127.0.0.1", "address that it listens on; 0.0.0.0: all of the machine")
    ae_title: str = option("PENNUNET", "AE title of this server")
    allow: tuple[str, ...] = option((), "AE titles that may send images", metavar="TITLE")
    max_associations: int = option(10, "associations at a time", low=1, high=1000)
    send_to: tuple[str, ...] = option(
        (), "send segmentation, report and key images to these nodes by C-STORE", metavar="TITLE@HOST:PORT"
    )
    tls: tuple[str, ...] = option(
        (),
        "PEM files of this node's certificate and key, and of the authority whose certificates others must show: "
        "DICOM by TLS, in both directions",
        metavar=("CERT", "KEY", "CA"),
    )

    def __post_init__(self) -> None:
        require_limits(self, "PE-SRV-007")
        for title in (self.ae_title, *self.allow):
            require_title(title, "--ae-title and --allow")
        if self.port is not None and not self.allow:
            raise ConfigurationError("PE-SRV-007", "--port without --allow: nobody may send", "give --allow TITLE")

    @property
    def peers(self) -> list[Peer]:
        """Where results are sent.

        Raises:
            ConfigurationError: PE-SRV-007 if one cannot be understood.
        """
        return [Peer.parsed(text) for text in self.send_to]


def require_title(title: str, option_name: str) -> str:
    """The title, if it is one.

    Raises:
        ConfigurationError: PE-SRV-007 if it is no AE title.
    """
    if not _TITLE.fullmatch(title):
        raise ConfigurationError(
            "PE-SRV-007", f"{option_name}: {title!r} is no AE title", "1 to 16 letters, digits and signs without spaces"
        )
    return title
