"""Which cases are left to do, and how often a worker was lost at one."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

TRIES = 3
MOST_AT_ONCE = 16


class WorkList:
    """Cases, handed out in batches that become smaller towards the end, so that workers end together.

    Source: Polychronopoulos and Kuck, Guided self-scheduling, IEEE Transactions on Computers C-36 (1987): each batch
    is a fixed share of what is left. Here it is at most `MOST_AT_ONCE`, and half of what would be each worker's.

    Args:
        cases: In the order in which they are begun.

    Example:
        >>> left = WorkList("abcdef")
        >>> first, second = left.take(2), left.take(2)
        >>> first, second
        (['a', 'b'], ['c'])
        >>> left.lost(first, at="a")  # its worker died; "b" was not begun
        False
        >>> left.take(2), left.take(2)  # "a" alone, in the end
        (['b'], ['d'])
    """

    def __init__(self, cases: Iterable[str]) -> None:
        self._waiting, self._alone, self._lost = deque(cases), deque[str](), Counter[str]()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting) + len(self._alone)

    def take(self, workers: int) -> list[str]:
        """The next batch for one of so many workers; empty where none waits.

        A case at which a worker was lost comes alone, after all others: should it take another one, it takes nothing
        else with it.
        """
        if not self._waiting:
            return [self._alone.popleft()] if self._alone else []
        share = -(-len(self._waiting) // (2 * max(workers, 1)))
        return [self._waiting.popleft() for _ in range(min(share, MOST_AT_ONCE))]

    def lost(self, cases: Sequence[str], at: str | None = None) -> bool:
        """Take back cases of a worker that was lost.

        Args:
            cases: Those of its batch that were not done.
            at: The one that it was at; None if it had begun none.

        Returns:
            Whether `at` has been tried often enough; then it is not taken back.
        """
        self._waiting.extendleft(case for case in reversed(cases) if case != at)
        if at is None:
            return False
        self._lost[at] += 1
        if self._lost[at] >= TRIES:
            return True
        self._alone.append(at)
        return False
