"""A step of a run, and the order in which steps are checked, done and undone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Context(Protocol):
    """What a run is about, as far as the order of its steps is concerned."""

    @property
    def committed(self) -> bool:
        """Whether the point of no return has been crossed: then nothing is undone any more."""

    def enter(self, name: str, number: int, count: int) -> None:
        """Take note that a step begins (or is undone): the number-th of count."""


C = TypeVar("C", bound=Context)


@dataclass(frozen=True)
class Step(Generic[C]):
    """One step, as data.

    check: read-only, returns one line for each reason why the step cannot be done; all checks of a run are made before
    its first change. do: makes the change; doing it twice is the same as once. undo: takes it back, whoever did it and
    however much of it was done. All three are functions of a module, so that another process can find them again.
    """

    name: str
    do: Callable[[C], None]
    check: Callable[[C], Sequence[str]] | None = None
    undo: Callable[[C], None] | None = None
