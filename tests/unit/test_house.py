"""The budgets that keep the house readable, and the promise that ARCHITECTURE.md names what exists."""

import ast
import importlib
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "src" / "intercloud").rglob("*.py"))


def lengths() -> list[tuple[int, str]]:
    found = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                found.append((node.end_lineno - node.lineno + 1, f"{file.name}:{node.name}"))
    return sorted(found)


def p90(sizes: list[int]) -> int:
    return sorted(sizes)[int(len(sizes) * 0.9)]


class Budgets(unittest.TestCase):
    def test_files(self) -> None:
        sizes = {file.name: len(file.read_text().splitlines()) for file in FILES}
        self.assertLessEqual(p90(list(sizes.values())), 350)
        self.assertEqual([name for name, size in sizes.items() if size > 500], [])

    def test_functions(self) -> None:
        found = lengths()
        self.assertLessEqual(p90([size for size, _ in found]), 30)
        self.assertEqual([each for each in found if each[0] > 60], [])

    def test_parameters(self) -> None:
        crowded = []
        for file in FILES:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
                    if len(names) > 5:
                        crowded.append(f"{file.name}:{node.name}")
        self.assertEqual(crowded, [])

    def test_the_port_is_small(self) -> None:
        tree = ast.parse((ROOT / "src/intercloud/clouds/port.py").read_text())
        protocols = [
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases)
        ]
        methods = [each for node in protocols for each in node.body if isinstance(each, ast.FunctionDef)]
        self.assertLessEqual(len(methods), 18)

    def test_broad_handlers_stand_at_process_rims_only(self) -> None:
        broad = [
            str(file.relative_to(ROOT / "src/intercloud"))
            for file in FILES
            if re.search(r"except (Base)?Exception\b|except:", file.read_text())
        ]
        self.assertLessEqual(set(broad), RIMS, "a broad handler outside a rim")


RIMS = {
    "workflow/runs.py",  # a database that takes no record must not leave servers half-way
    "migration/turns.py",  # whatever an act raises, the next turn sets right what it left
    "control/daemon.py",  # one request must not end the controller
    "control/reconcile.py",  # one bad pass must not leave a switch alone for ever
    "control/ovsdb.py",  # the library raises plain Exception when a database does not answer
}


class Architecture(unittest.TestCase):
    def test_every_name_on_the_path_exists(self) -> None:
        text = (ROOT / "ARCHITECTURE.md").read_text()
        names = re.findall(r"`(intercloud(?:\.\w+)+)`", text)
        self.assertGreater(len(names), 8)
        for name in names:
            with self.subTest(name):
                self.assertTrue(exists(name))


def exists(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


if __name__ == "__main__":
    unittest.main()
