"""Draw docs/states.md from the table in migration/settle.py.

.venv/bin/python scripts/draw_states.py > docs/states.md
"""

import sys
from collections.abc import Collection
from itertools import pairwise

from intercloud.migration.settle import NORMAL, TABLES, URGENCY, Action, Row
from intercloud.model.strategy import Strategy

HEAD = """# What a migration does next

Drawn from `src/intercloud/migration/settle.py` by `scripts/draw_states.py`; a test compares. The first line that fits
says what is done with one server. The gang does what is most urgent for any of its servers (last section); none lets
its target run, or switches over, unless all that have not crossed can.
"""
COLUMNS = ("source", "target", "memory", "disks", "flows", "commit", "goes back", "verified", "ran")


def cell(want: Collection[str] | bool | None) -> str:
    """Write what a column must be."""
    if want is None:
        return ""
    return ("yes" if want else "no") if isinstance(want, bool) else " / ".join(want)


def line(row: Row) -> str:
    """Write one line of the table."""
    wants = (row.source, row.target, row.memory, row.disks, row.flows, row.commit, row.back, row.verified, row.ran)
    return f"| {' | '.join(map(cell, wants))} | **{row.action}** | {row.why} |"


def diagram(strategy: Strategy) -> list[str]:
    """Draw the normal way, and what a failure leads to."""
    normal = NORMAL[strategy]
    names = {action: action.name for action in Action}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [
        f'    state "{action}" as {names[action]}' for action in (*normal, Action.CLEAN, Action.MOVED, Action.STAYS)
    ]
    lines.append(f"    [*] --> {names[normal[0]]}")
    lines += [f"    {names[one]} --> {names[other]}" for one, other in pairwise(normal)]
    commit = normal.index(Action.SWITCH if strategy is Strategy.LIVE else Action.COMMIT)
    back = Action.THAW if strategy is Strategy.LIVE else Action.START_SOURCE
    lines.append(f'    state "{back}" as {names[back]}')
    lines += [f"    {names[action]} --> {names[Action.CLEAN]}: fails" for action in normal[:commit]]
    lines += [f"    {names[normal[commit]]} --> {names[back]}: fails", f"    {names[back]} --> {names[Action.CLEAN]}"]
    lines += [f"    {names[Action.CLEAN]} --> {names[Action.STAYS]}", f"    {names[Action.STAYS]} --> [*]"]
    return [*lines, f"    {names[normal[-1]]} --> {names[Action.MOVED]}", f"    {names[Action.MOVED]} --> [*]", "```"]


def states() -> str:
    """Write the whole page."""
    lines = [HEAD]
    for strategy, rows in TABLES.items():
        lines += [f"## {strategy}", "", *diagram(strategy), "", f"| {' | '.join(COLUMNS)} | next | because |"]
        lines += ["|" + "---|" * (len(COLUMNS) + 2), *map(line, rows), ""]
    lines += ["## Most urgent first", "", ", ".join(URGENCY) + ".", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(states())
