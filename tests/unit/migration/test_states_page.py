import importlib.util
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Page(unittest.TestCase):
    def test_the_page_is_drawn_from_the_table(self) -> None:
        spec = importlib.util.spec_from_file_location("draw_states", ROOT / "scripts" / "draw_states.py")
        assert spec is not None and spec.loader is not None
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        page = (ROOT / "docs" / "states.md").read_text()
        self.assertEqual(page, tool.states(), "draw it again: .venv/bin/python scripts/draw_states.py > docs/states.md")


if __name__ == "__main__":
    unittest.main()
