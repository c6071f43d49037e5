"""One instance taken in, whichever way it came, and the status that its sender hears.

Source: DICOM PS3.4, B.2.3 (status of a C-STORE response), which are the failure reasons of STOW too (PS3.18, I.2.2).
"""

from __future__ import annotations

from pe_nnunet.errors import InputError, OutputError
from pe_nnunet.serving.counts import Counts
from pe_nnunet.serving.intake import Intake
from pe_nnunet.serving.log import say

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000


def store(content: bytes, intake: Intake, counts: Counts) -> int:
    """The status: success is said once the instance is on the disk and in the queue.

    Args:
        content: Of a DICOM file.
        intake: Where it goes.
        counts: What happened how often; it is added to.
    """
    try:
        new = intake.take(content)
    except (InputError, OutputError) as error:
        counts.add("refused")
        say(f"{error.code}: an object was refused: {error.message}")
        return CANNOT_UNDERSTAND if isinstance(error, InputError) else OUT_OF_RESOURCES
    except Exception as error:  # noqa: BLE001 - the sender is told that it was not stored
        counts.add("refused")
        say(f"PE-ENV-006: an object was refused: {type(error).__name__}")
        return CANNOT_UNDERSTAND
    counts.add("stored" if new else "known")
    return SUCCESS
