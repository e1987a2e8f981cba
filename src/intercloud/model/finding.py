"""What the pre-flight found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was found before the first byte. about: a cloud, network or server; cure: what to do about it."""

    about: str
    text: str
    cure: str
    blocking: bool = True

    @property
    def line(self) -> str:
        """All of it in one line for people."""
        return f"{self.about}: {self.text}; {self.cure}"
