"""Digests of files, by which images have the same name in every cloud."""

import hashlib
from pathlib import Path


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest a file's bytes as Image.digest has it."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def has_digest(path: Path, wanted: str) -> bool:
    """Whether a file's bytes have this digest, of whatever algorithm."""
    return file_digest(path, wanted.partition(":")[0]) == wanted
