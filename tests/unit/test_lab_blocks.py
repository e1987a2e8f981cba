import unittest

from hypothesis import given
from hypothesis import strategies as st

from intercloud.clouds.lab.blocks import PIECE, held, pieces
from intercloud.clouds.port import Extent
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


if __name__ == "__main__":
    unittest.main()
