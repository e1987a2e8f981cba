"""A stored result: its schema, and that it can be read back."""

import json
import unittest
from dataclasses import replace
from pathlib import Path

import jsonschema
from benchmarks import result
from benchmarks.__main__ import revision, unlike

from .result_sample import RESULT

SCHEMA = Path(__file__).parents[3] / "docs" / "benchmark.schema.json"
AGAIN = "python -c 'from benchmarks import result; print(result.schema(), end=\"\")' > docs/benchmark.schema.json"


class TestResult(unittest.TestCase):
    def test_the_stored_schema_is_that_of_the_values(self) -> None:
        self.assertEqual(SCHEMA.read_text(), result.schema(), f"make it again: {AGAIN}")

    def test_a_result_is_valid_under_the_schema(self) -> None:
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        validator.validate(json.loads(result.to_json(RESULT)))

    def test_the_schema_refuses_what_is_no_result(self) -> None:
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        whole = json.loads(result.to_json(RESULT))
        for broken in (whole | {"samples": "many"}, whole | {"cells": [{"benchmark": "B1"}]}, {"version": 2}):
            self.assertFalse(validator.is_valid(broken))

    def test_a_result_reads_back_as_it_was(self) -> None:
        self.assertEqual(result.from_json(result.to_json(RESULT)), RESULT)

    def test_what_was_measured_is_known_when_it_is_read_back(self) -> None:
        again = result.from_json(result.to_json(RESULT))
        for cell in RESULT.cells:
            self.assertTrue(again.has(cell.benchmark, cell.scenario))
            self.assertFalse(again.has(cell.benchmark, {**cell.scenario, "servers": 99}))
            self.assertFalse(again.has("B99", cell.scenario))

    def test_a_run_is_gone_on_with_only_where_nothing_has_changed(self) -> None:
        here = replace(RESULT, revision=revision())
        self.assertIn("revision nonsense", unlike(replace(here, revision="nonsense"), here) or "")
        self.assertIn("say --samples 10", unlike(here, replace(here, samples=3)) or "")
        elsewhere = replace(here, machine=replace(here.machine, cpus=64))
        self.assertIn("another machine", unlike(elsewhere, here) or "")

    def test_a_run_of_this_very_code_is_gone_on_with(self) -> None:
        name = revision()
        if not name or name.endswith("-dirty"):
            self.assertIn("begin a new one", unlike(replace(RESULT, revision=name), RESULT) or "")
        else:
            self.assertIsNone(unlike(replace(RESULT, revision=name), RESULT))


if __name__ == "__main__":
    unittest.main()
