import unittest
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from intercloud.clouds.blocks import PIECE, blocks, held, of_blocks, pieces
from intercloud.clouds.port import Extent
from intercloud.model.digests import BLOCK
from intercloud.units import Bytes

LIMITS = st.lists(st.integers(0, 60), unique=True, max_size=12).map(sorted)


def extents(limits: list[int]) -> list[Extent]:
    """Pairs of limits, in order: parts that do not overlap."""
    pairs = zip(limits[::2], limits[1::2], strict=False)
    return [Extent(Bytes(start), Bytes(end - start)) for start, end in pairs]


def as_bytes(found: list[Extent]) -> set[int]:
    return {n for extent in found for n in range(extent.start, extent.end)}


class Parts(unittest.TestCase):
    @given(LIMITS, LIMITS)
    def test_what_lies_within_others_is_counted_once(self, left: list[int], right: list[int]) -> None:
        some, others = extents(left), extents(right)
        self.assertEqual(held(some, others), len(as_bytes(some) & as_bytes(others)))

    def test_long_parts_are_cut(self) -> None:
        long = Extent(Bytes(5), Bytes(2 * PIECE + 1))
        found = list(pieces([long]))
        self.assertEqual([piece.length for piece in found], [PIECE, PIECE, 1])
        self.assertEqual((found[0].start, found[-1].end), (long.start, long.end))

    @given(st.frozensets(st.integers(0, 30)))
    def test_blocks_become_parts_that_are_made_of_them(self, numbers: frozenset[int]) -> None:
        size = 30 * BLOCK + 512
        parts = of_blocks(numbers, size)
        self.assertEqual(blocks(parts), numbers)
        self.assertTrue(all(one.end < other.start for one, other in pairwise(parts)))
        self.assertLessEqual(max((part.end for part in parts), default=0), size)


if __name__ == "__main__":
    unittest.main()
