"""What a disk holds at the other side, as far as that is known: which parts of a write have to be sent there. Pure."""

from collections.abc import Callable

from intercloud.model.digests import BLOCK, ZEROS, BlockDigests, block_count, digest

Part = tuple[int, int]
"""Where a part of a disk starts, and how many bytes it has."""


class Held:
    """A disk as its digests told of it once, and what was sent to it since.

    Each method is told what is about to be written and returns the parts that have to be sent, in order; the blocks
    that these touch are not known from then on, so it does not matter whether that succeeds.
    """

    def __init__(self, blocks: BlockDigests) -> None:
        self._blocks = blocks
        self._unknown: set[int] = set()

    def write(self, start: int, content: memoryview) -> list[Part]:
        """Bytes are written."""
        return self._news(start, len(content), lambda at, size: digest(content[at - start : at - start + size]))

    def zero(self, start: int, length: int) -> list[Part]:
        """Zeros are written."""
        return self._news(start, length, lambda _, size: ZEROS if size == BLOCK else digest(bytes(size)))

    def trim(self, start: int, length: int) -> list[Part]:
        """What was there is of no use any more; nobody knows what is read from there then."""
        self._unknown.update(range(start // BLOCK, block_count(start + length)))
        return [(start, length)]

    def _news(self, start: int, length: int, content: Callable[[int, int], bytes]) -> list[Part]:
        end, parts = start + length, list[Part]()
        for number in range(start // BLOCK, block_count(end)):
            begin, stop = number * BLOCK, min((number + 1) * BLOCK, self._blocks.size)
            at, until = max(start, begin), min(end, stop)
            whole = (at, until) == (begin, stop)
            if whole and number not in self._unknown and content(at, until - at) == self._blocks.of(number):
                continue
            self._unknown.add(number)
            if parts and sum(parts[-1]) == at:
                parts[-1] = (parts[-1][0], until - parts[-1][0])
            else:
                parts.append((at, until - at))
        return parts
