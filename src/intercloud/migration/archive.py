"""The evidence of earlier moves on disk: a folder for each run, a file for each disk."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from intercloud.errors import NotFound, VerifyError
from intercloud.model.evidence import DiskEvidence, Subject, decode, decode_subject, encode

SUFFIX = ".b3"


@dataclass(frozen=True)
class Archive:
    """A folder of evidence."""

    folder: Path

    def put(self, evidence: DiskEvidence) -> None:
        """Keep it; whoever reads meanwhile, or after a crash, finds nothing, or all of it."""
        subject = evidence.subject
        path = self.path(subject.run, subject.server, subject.disk)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(encode(evidence))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def path(self, run: str, server: str, disk: str) -> Path:
        """Where the evidence of one disk is kept."""
        return self.folder / run / f"{server}.{disk}{SUFFIX}"

    def drop(self, run: str) -> None:
        """Remove what was kept of a run that was taken back. No error when there is nothing."""
        shutil.rmtree(self.folder / run, ignore_errors=True)

    def files(self, run: str) -> list[Path]:
        """Find a run's evidence. Raises NotFound, naming the latest runs."""
        found = sorted(path for path in self.folder.glob(f"*/*{SUFFIX}") if path.parent.name == run)
        if not found:
            latest = sorted({(subject.taken_at, subject.run) for subject in self.subjects()}, reverse=True)
            known = ", ".join(list(dict.fromkeys(run for _, run in latest))[:5]) or "none"
            raise NotFound(f"{self.folder} has no evidence of a run {run!r}; the latest there are: {known}")
        return found

    @staticmethod
    def read(path: Path) -> DiskEvidence:
        """Read one file. Raises VerifyError when it is damaged."""
        try:
            return decode(path.read_bytes())
        except ValueError as error:
            raise VerifyError(f"the evidence in {path} is damaged: {error}") from error

    def subjects(self) -> Iterator[Subject]:
        """What there is evidence of; a damaged file is of nothing."""
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            with path.open("rb") as file:
                try:
                    yield decode_subject(file.readline())
                except ValueError:
                    continue

    def later(self, subject: Subject) -> Subject | None:
        """Find the latest evidence that its server has moved again."""
        moves = (
            each
            for each in self.subjects()
            if (each.cluster, each.server) == (subject.cluster, subject.server)
            and each.run != subject.run
            and each.taken_at > subject.taken_at
        )
        return max(moves, key=lambda each: each.taken_at, default=None)
