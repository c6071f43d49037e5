"""The three folders that nnU-Net is told by environment variables."""

from __future__ import annotations

import os
from pathlib import Path

from pe_nnunet.errors import ConfigurationError

RAW, PREPROCESSED, RESULTS = VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def nnunet_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names, as it is now, not as it was on import.

    Args:
        variable: One of `VARIABLES`.

    Raises:
        ConfigurationError: PE-ENV-001 if the variable is not set, or names no folder.
    """
    value = os.environ.get(variable, "")
    if not value.strip():
        raise ConfigurationError("PE-ENV-001", f"{variable} is not set", f"export {variable}=/path/to/a/folder")
    if not Path(value).is_dir():
        quoted = value[0] in "\"'" or value[-1] in "\"'"
        hint = "take the quotation marks out of the value" if quoted else "make the folder, or correct the variable"
        raise ConfigurationError("PE-ENV-001", f"{variable} is {value!r}, which is no folder", hint)
    return Path(value)
