"""A stored result: its schema, and that it can be read back."""

import json
import unittest
from pathlib import Path

import jsonschema
from benchmarks import result

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


if __name__ == "__main__":
    unittest.main()
