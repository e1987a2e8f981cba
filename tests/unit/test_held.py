"""Which parts of a write are sent to a disk of which the digests are known: never one too few."""

import unittest
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from intercloud.model.digests import BLOCK, BlockDigests, block_count, digest
from intercloud.transfer.held import Held, Part
from intercloud.units import Bytes

BLOCKS = 6
SIZE = BLOCKS * BLOCK + 1000
"""The last block is short."""
CONTENT = b"".join(bytes([n]) * min(BLOCK, SIZE - n * BLOCK) for n in range(BLOCKS + 1))
"""Block 0 is of zeros."""


def digests(content: bytes) -> BlockDigests:
    blocks = (content[n * BLOCK : (n + 1) * BLOCK] for n in range(block_count(len(content))))
    return BlockDigests(Bytes(len(content)), b"".join(map(digest, blocks)))


def write(held: Held, start: int, content: bytes) -> list[Part]:
    return held.write(start, memoryview(content))


class Decisions(unittest.TestCase):
    def setUp(self) -> None:
        self.held = Held(digests(CONTENT))

    def test_what_is_there_is_not_sent(self) -> None:
        self.assertEqual(write(self.held, 0, CONTENT), [])
        self.assertEqual(write(self.held, BLOCK, CONTENT[BLOCK : 3 * BLOCK]), [])

    def test_what_differs_is_sent_and_no_more(self) -> None:
        new = bytearray(CONTENT)
        for place in (BLOCK + 7, 2 * BLOCK, 5 * BLOCK - 1):
            new[place] ^= 1
        self.assertEqual(write(self.held, 0, new), [(BLOCK, 2 * BLOCK), (4 * BLOCK, BLOCK)])

    def test_the_short_block_at_the_end(self) -> None:
        last = BLOCKS * BLOCK
        self.assertEqual(write(self.held, last, CONTENT[last:]), [])
        self.assertEqual(write(self.held, last, bytes(1000)), [(last, 1000)])

    def test_part_of_a_block_is_sent_whatever_it_says(self) -> None:
        parts = write(self.held, BLOCK - 512, CONTENT[BLOCK - 512 : 2 * BLOCK + 512])
        self.assertEqual(parts, [(BLOCK - 512, 512), (2 * BLOCK, 512)])

    def test_what_was_sent_once_is_not_known_any_more(self) -> None:
        other = bytes([9]) * BLOCK
        self.assertEqual(write(self.held, BLOCK, other), [(BLOCK, BLOCK)])
        again = CONTENT[BLOCK : 2 * BLOCK]
        self.assertEqual(write(self.held, BLOCK, again), [(BLOCK, BLOCK)], "it must not be taken for what was there")

    def test_zeros(self) -> None:
        self.assertEqual(self.held.zero(0, BLOCK), [])
        self.assertEqual(self.held.zero(0, 2 * BLOCK), [(BLOCK, BLOCK)])
        self.assertEqual(self.held.zero(0, 512), [(0, 512)])
        self.assertEqual(write(self.held, 2 * BLOCK, bytes(BLOCK)), [(2 * BLOCK, BLOCK)])

    def test_a_trim_is_sent_and_forgets(self) -> None:
        self.assertEqual(self.held.trim(BLOCK - 512, 1024), [(BLOCK - 512, 1024)])
        self.assertEqual(write(self.held, 0, CONTENT[: 3 * BLOCK]), [(0, 2 * BLOCK)])


@dataclass(frozen=True)
class Act:
    """Something that is done to a disk. kind: 'write', 'zero' or 'trim'."""

    kind: str
    start: int
    length: int
    fill: int


EDGES = st.sampled_from([0, 512, BLOCK - 512, BLOCK])
PLACES = st.builds(lambda block, edge: min(block * BLOCK + edge, SIZE - 500), st.integers(0, BLOCKS), EDGES)
ACTS = st.builds(
    Act,
    st.sampled_from(["write", "zero", "trim"]),
    PLACES,
    st.sampled_from([500, 512, BLOCK, BLOCK + 512, 3 * BLOCK, SIZE]),
    st.integers(0, BLOCKS),
)


class Model(unittest.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(ACTS, max_size=20))
    def test_the_other_side_ends_as_if_all_had_been_sent(self, acts: list[Act]) -> None:
        """Whatever is written in whatever order, over what the disk held; a trim may leave anything, here its fill."""
        held, wanted, other = Held(digests(CONTENT)), bytearray(CONTENT), bytearray(CONTENT)
        for act in acts:
            end = min(act.start + act.length, SIZE)
            new = {"write": CONTENT, "zero": bytes(SIZE), "trim": bytes([act.fill]) * SIZE}[act.kind]
            if act.kind == "write" and act.fill:
                new = bytes([act.fill]) * SIZE
            wanted[act.start : end] = new[act.start : end]
            match act.kind:
                case "write":
                    parts = write(held, act.start, new[act.start : end])
                case "zero":
                    parts = held.zero(act.start, end - act.start)
                case _:
                    parts = held.trim(act.start, end - act.start)
            self.assertTrue(all(act.start <= at and at + length <= end for at, length in parts), parts)
            for at, length in parts:
                other[at : at + length] = new[at : at + length]
        self.assertEqual(wanted, other)


if __name__ == "__main__":
    unittest.main()
