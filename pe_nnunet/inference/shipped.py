"""The models that come with the package, by the names that `-m` takes."""

from __future__ import annotations

import re
from pathlib import Path

from pe_nnunet.errors import ConfigurationError
from pe_nnunet.volumes.files.volume_file import file_sha256

MODELS = Path(__file__).resolve().parents[1] / "models"
PLANS = "plans.json"
SHA256SUMS = "SHA256SUMS"
"""Of a shipped model: a line for each of its files, as `sha256sum -c` reads them."""
SHIPPED: dict[str, Path] = {"starter": MODELS / "starter"}
"""By name, the folder of an nnU-Net model, its weights in half precision: `plans.json`, `dataset.json`,
`fold_all/checkpoint_final.pth`, `fusion.json`, its card and `SHA256SUMS`."""


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model.

    Args:
        name: A key of `SHIPPED`.

    Raises:
        ConfigurationError: PE-MODEL-030 if this installation does not have it.
    """
    folder = SHIPPED[name]
    if not (folder / PLANS).is_file():
        raise ConfigurationError(
            "PE-MODEL-030",
            f"the model {name} is not in this installation: {folder} holds none",
            "install a version that ships it, or name a model folder",
        )
    return folder


def read_sums(path: Path) -> dict[str, str]:
    """Hexadecimal SHA-256 by file name, as `sha256sum` writes them.

    Args:
        path: A file `SHA256SUMS`.

    Raises:
        ConfigurationError: PE-VER-008 if it holds something else.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("PE-VER-008", f"{path} cannot be read: {error}", "get the model anew") from error
    pairs = [re.fullmatch(r"([0-9a-f]{64})  ((?:\w[\w.-]*/)*\w[\w.-]*)", line) for line in lines]
    if not lines or not all(pairs):
        raise ConfigurationError("PE-VER-008", f"{path} has lines that are no hash and name", "get the model anew")
    return {pair[2]: pair[1] for pair in pairs if pair}


def sums_of(folder: Path) -> str:
    """The content of `SHA256SUMS` for the files of a folder, at any depth.

    Args:
        folder: Of a model.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SHA256SUMS)
    return "".join(f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def shipped_as(folder: Path) -> str | None:
    """The name of the shipped model that a folder is; None for any other folder."""
    return next((name for name, shipped in SHIPPED.items() if shipped == folder.resolve()), None)


def require_not_shipped(folder: Path, what: str, hint: str) -> None:
    """Refuse to write into the folder of a shipped model: it belongs to the installation, and to all who use that.

    Args:
        folder: Where something is to be written.
        what: That is.
        hint: What to do instead.

    Raises:
        ConfigurationError: PE-MODEL-032.
    """
    if (name := shipped_as(folder)) is not None:
        raise ConfigurationError("PE-MODEL-032", f"{what} would be written into the shipped model {name}", hint)
