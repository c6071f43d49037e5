"""Whether all values of an HDF5 array are in its file: its library gives what lay in memory where they are not."""

from __future__ import annotations

import zlib
from math import ceil, prod
from pathlib import Path
from typing import Any

from pe_nnunet.errors import InputError


def require_stored_whole(stored: Any, path: Path) -> None:
    """Check an array that lies in its file in one piece, or in chunks that may be packed, as MATLAB writes them.

    Args:
        stored: h5py's data set.
        path: For messages.

    Raises:
        InputError: PE-IN-003 if values are missing, or packed in another way than by deflate.
    """
    value_bytes = stored.dtype.itemsize
    if stored.chunks is None:
        whole = stored.id.get_storage_size() == stored.size * value_bytes
    else:
        places = prod(ceil(n / step) for n, step in zip(stored.shape, stored.chunks, strict=True))
        whole = stored.id.get_num_chunks() == places and all(
            _is_whole(stored, number, prod(stored.chunks) * value_bytes) for number in range(places)
        )
    if not whole:
        raise InputError(
            "PE-IN-003", f"{path} cannot be read: values of {stored.name} are not in it", "fetch the file again"
        )


def _is_whole(stored: Any, number: int, chunk_bytes: int) -> bool:
    filters = set(stored._filters)
    if filters - {"gzip", "shuffle"}:
        return False
    info = stored.id.get_chunk_info(number)
    if info.filter_mask or any(at % step for at, step in zip(info.chunk_offset, stored.chunks, strict=True)):
        return False
    if "gzip" not in filters:
        return bool(info.size == chunk_bytes)
    return len(zlib.decompress(stored.id.read_direct_chunk(info.chunk_offset)[1])) == chunk_bytes
