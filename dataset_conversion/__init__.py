"""Source datasets to nnU-Net raw, one module a kind of source.

    >>> from pe_nnunet.dataset_conversion import ConvertOptions, convert
    >>> report = convert("studies", "scans/", 501, "PE", ConvertOptions(folds=5))  # doctest: +SKIP

The functions are loaded on first use, so that the command line can list the kinds of source at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pe_nnunet.dataset_conversion.convert_options import ConvertOptions
from pe_nnunet.dataset_conversion.registry import KINDS
from pe_nnunet.lazy import on_first_use

if TYPE_CHECKING:
    from pe_nnunet.dataset_conversion.convert_dataset import ConversionReport, convert
    from pe_nnunet.dataset_conversion.prepare import restore

__all__ = ["KINDS", "ConversionReport", "ConvertOptions", "convert", "restore"]

__getattr__ = on_first_use(
    __name__,
    {
        "convert": "convert_dataset",
        "ConversionReport": "convert_dataset",
        "restore": "prepare",
    },
)
