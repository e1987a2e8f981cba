"""The digests of a disk: root, differences, the file they are kept in, and what is said of them later."""

import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from intercloud.clouds.block_digests import runs
from intercloud.errors import NotFound, VerifyError
from intercloud.migration.archive import Archive
from intercloud.migration.recheck import judge
from intercloud.model.digests import BLOCK, ZEROS, BlockDigests, differences, digest
from intercloud.model.evidence import DiskEvidence, Subject, decode, decode_subject, encode
from intercloud.units import Bytes

GOLDEN = Path(__file__).parents[1] / "golden" / "evidence-1.b3"
TAIL = 512
CONTENT = (b"a" * BLOCK, bytes(BLOCK), b"b" * BLOCK, b"c" * TAIL)
DISK = BlockDigests(Bytes(3 * BLOCK + TAIL), b"".join(map(digest, CONTENT)))
SUBJECT = Subject("shop-20261123-041500-7f3a", "shop", "lab-a", "lab-b", "db", "root", 1795407300.25, "since-shop")


def changed(*numbers: int) -> BlockDigests:
    return DISK.replaced({number: digest(b"other") for number in numbers})


class Digests(unittest.TestCase):
    def test_the_digest_is_blake3(self) -> None:
        """The test vector of an empty input."""
        self.assertEqual(digest(b"").hex(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
        self.assertEqual(DISK.of(1), ZEROS)

    def test_the_root_is_what_its_docstring_says(self) -> None:
        size = (3 * BLOCK + TAIL).to_bytes(8, "big")
        digests = [blake3(block).digest() for block in CONTENT]
        self.assertEqual(DISK.root(), blake3(size + b"".join(digests)).hexdigest())
        digests[2] = bytes(32)
        self.assertEqual(DISK.root({2}), blake3(size + b"".join(digests)).hexdigest())

    def test_the_root_binds_the_size(self) -> None:
        longer = replace(DISK, size=Bytes(DISK.size + 1))
        self.assertNotEqual(longer.root(), DISK.root())

    def test_digests_must_be_as_many_as_blocks(self) -> None:
        with self.assertRaisesRegex(ValueError, "96 bytes of digests"):
            BlockDigests(DISK.size, DISK.digests[32:])

    def test_differences(self) -> None:
        self.assertEqual(differences(DISK, DISK), ())
        self.assertEqual(differences(DISK, changed(0, 3)), (0, 3))
        self.assertEqual(differences(DISK, changed(0, 3), {0}), (3,))
        self.assertEqual(differences(DISK, BlockDigests(Bytes(2 * BLOCK), DISK.digests[:64])), (2, 3))

    @given(st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
    def test_roots_agree_exactly_when_no_compared_block_differs(self, damaged: set[int], written: set[int]) -> None:
        other = changed(*damaged)
        self.assertEqual(differences(DISK, other, written), tuple(sorted(damaged - written)))
        self.assertEqual(DISK.root(written) == other.root(written), not damaged - written)

    @given(st.sets(st.integers(0, 200)))
    def test_runs_hold_every_number_once(self, numbers: set[int]) -> None:
        found = list(runs(sorted(numbers)))
        self.assertEqual([first + n for first, count in found for n in range(count)], sorted(numbers))
        self.assertLessEqual(max((count for _, count in found), default=0), 16)


class File(unittest.TestCase):
    def test_a_file_of_version_1_is_read_for_ever(self) -> None:
        self.assertEqual(decode(GOLDEN.read_bytes()), DiskEvidence(SUBJECT, DISK))
        self.assertEqual(encode(DiskEvidence(SUBJECT, DISK)), GOLDEN.read_bytes())

    def test_the_first_line_is_enough_to_know_what_it_is_about(self) -> None:
        self.assertEqual(decode_subject(encode(DiskEvidence(SUBJECT, DISK)).partition(b"\n")[0]), SUBJECT)

    def test_damage_is_found(self) -> None:
        whole = encode(DiskEvidence(SUBJECT, DISK))
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        for content, complaint in (
            (flipped, "its digests are not those"),
            (whole[:-1], "bytes of digests"),
            (b"", "its first line"),
            (b"[]\n", "its first line"),
            (b"\xff\n", "its first line"),
            (whole.replace(b'"version":1', b'"version":2'), r"\(version\)"),
            (whole.replace(b'"bitmap"', b'"bitmop"'), r"\(subject.bitmap\)"),
            (whole.replace(b'"size":', b'"size":-'), r"\(size\)"),
        ):
            with self.subTest(complaint, content=content[:20]), self.assertRaisesRegex(ValueError, complaint):
                decode(content)


class Kept(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.archive = Archive(Path(folder.name, "evidence"))

    def put(self, **changes: object) -> Subject:
        subject = replace(SUBJECT, **changes)  # type: ignore[arg-type]
        self.archive.put(DiskEvidence(subject, DISK))
        return subject

    def test_what_is_put_can_be_read(self) -> None:
        self.put()
        self.put(disk="data")
        found = [self.archive.read(path) for path in self.archive.files(SUBJECT.run)]
        self.assertEqual([each.subject.disk for each in found], ["data", "root"])
        self.assertEqual({each.blocks for each in found}, {DISK})

    def test_an_unknown_run_is_refused_with_those_that_are_known(self) -> None:
        with self.assertRaisesRegex(NotFound, "the latest there are: none"):
            self.archive.files("x")
        self.put(run="first", taken_at=1.0)
        self.put(run="second", taken_at=2.0)
        for run in ("x", "..", "../evidence/first", ""):
            with self.subTest(run), self.assertRaisesRegex(NotFound, "the latest there are: second, first"):
                self.archive.files(run)

    def test_a_damaged_file_is_named(self) -> None:
        self.put()
        path = self.archive.files(SUBJECT.run)[0]
        path.write_bytes(path.read_bytes()[:-32])
        with self.assertRaisesRegex(VerifyError, f"{path} is damaged"):
            self.archive.read(path)

    def test_a_server_that_moved_again_is_known(self) -> None:
        first = self.put(run="first", taken_at=1.0)
        self.put(run="other", taken_at=2.0, server="web")
        self.assertIsNone(self.archive.later(first))
        self.put(run="second", taken_at=2.0, source="lab-b", target="lab-a")
        third = self.put(run="third", taken_at=3.0)
        self.assertEqual(self.archive.later(first), third)

    def test_what_was_taken_back_is_dropped(self) -> None:
        self.put()
        for _ in range(2):
            self.archive.drop(SUBJECT.run)
        self.assertEqual(list(self.archive.subjects()), [])


class Judgement(unittest.TestCase):
    def test_every_case(self) -> None:
        none: frozenset[int] = frozenset()
        for now, written, good, words in (
            (DISK, none, True, f"equal: 4 blocks, root {DISK.root()[:16]}"),
            (changed(1), {1}, True, f"equal: 3 blocks, root {DISK.root({1})[:16]}; 1 of 4 written since and not"),
            (changed(2), none, False, "DIFFERENT: 1 block, the first at byte 131072"),
            (changed(1, 2, 3), {1}, False, "DIFFERENT: 2 blocks, the first at byte 131072; 1 of 4 written since"),
            (DISK, None, True, "equal: 4 blocks"),
            (changed(0), None, False, "cannot tell: its dirty bitmap is lost"),
        ):
            with self.subTest(words):
                found, text = judge(DISK, now, written)
                self.assertEqual(found, good)
                self.assertTrue(text.startswith(words), text)


if __name__ == "__main__":
    unittest.main()
