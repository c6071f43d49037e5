"""What is shown of a command's output."""

from __future__ import annotations

from pe_nnunet.cases import epochs_left
from pe_nnunet.demo.command import Watcher


def everything(line: str) -> str | None:
    """Show every line."""
    return line or None


def matching(*words: str) -> Watcher:
    """Show the lines that hold one of the words.

    Example:
        >>> matching("done")("all done"), matching("done")("busy")
        ('all done', None)
    """

    def watch(line: str) -> str | None:
        return line if any(word in line for word in words) else None

    return watch


class TrainingWatcher:
    """One line an epoch, with the time that is left, from nnU-Net's log.

    Args:
        epochs: How many there will be.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.facts: dict[str, str] = {}
        self.seconds: list[float] = []

    def __call__(self, line: str) -> str | None:
        """What to show of a line."""
        text = line.partition(": ")[2] if line[:2] == "20" else line  # without nnU-Net's time stamp
        if text.startswith(("predicting ", "Mean Validation Dice")):
            return text
        if not text.startswith("Epoch time:"):
            for key in ("Epoch", "train_loss", "val_loss", "Pseudo dice"):
                if text.startswith(key + " "):
                    self.facts[key] = text.removeprefix(key).strip()
            return None
        self.seconds.append(float(text.split()[2]))
        epoch = int(self.facts.get("Epoch", 0)) + 1  # not the number of times: a training may go on from a checkpoint
        return (
            f"epoch {epoch}/{self.epochs}: loss {self.facts.get('train_loss', '-')}, "
            f"validation {self.facts.get('val_loss', '-')}, patch Dice {_number(self.facts.get('Pseudo dice', '-'))}, "
            f"{self.seconds[-1]:.1f} s{epochs_left(self.seconds, self.epochs - epoch)}"
        )


def _number(text: str) -> str:
    """The number in nnU-Net's `[np.float64(0.5)]`."""
    return text.strip("[]").removeprefix("np.float64(").removeprefix("np.float32(").rstrip(")")
