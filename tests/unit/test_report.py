"""The report's JSON: its names, its schema, and that it can be read back."""

import json
import unittest
from dataclasses import replace
from pathlib import Path

import jsonschema

from intercloud.model import report

from .report_sample import REPORT

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"
AGAIN = "python -c 'from intercloud.model import report; print(report.schema(), end=\"\")' > docs/report.schema.json"


class TestReport(unittest.TestCase):
    def test_the_stored_schema_is_that_of_the_values(self) -> None:
        self.assertEqual(SCHEMA.read_text(), report.schema(), f"make it again: {AGAIN}")

    def test_a_report_is_valid_under_the_schema(self) -> None:
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        for value in (REPORT, replace(REPORT, probe=None, split_window_s=None, status=report.Status.ROLLED_BACK)):
            validator.validate(json.loads(report.to_json(value)))

    def test_the_schema_refuses_what_is_no_report(self) -> None:
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        whole = json.loads(report.to_json(REPORT))
        for broken in ({}, whole | {"status": "fine"}, whole | {"servers": [{"name": "web"}]}):
            self.assertFalse(validator.is_valid(broken))

    def test_a_report_reads_back_as_it_was(self) -> None:
        self.assertEqual(report.from_json(report.to_json(REPORT)), REPORT)

    def test_the_promised_names_are_there(self) -> None:
        whole = json.loads(report.to_json(REPORT))
        self.assertLessEqual(
            {
                "status", "strategy", "migration_time_s", "split_window_s", "reconfiguration_s",
                "reconfiguration_per_switch_s", "servers", "probe", "environment",
            },
            whole.keys(),
        )  # fmt: skip
        self.assertLessEqual(
            {
                "name", "strategy", "bytes_sent", "unique_bytes", "rounds", "blackout_s", "hypervisor_downtime_s",
                "limit_s", "ratio_to_limit", "disk_digest_equal", "disks",
            },
            whole["servers"][0].keys(),
        )  # fmt: skip
        self.assertEqual(
            {"name", "blocks", "written", "root_at_source", "root_at_target", "equal"},
            whole["servers"][0]["disks"][0].keys(),
        )
        probe = whole["probe"]
        self.assertLessEqual({"sent", "lost", "duplicated", "downtime_s"}, probe["udp"].keys())
        self.assertLessEqual({"broken", "downtime_s"}, probe["tcp"].keys())
        self.assertLessEqual({"failed", "downtime_s"}, probe["http"].keys())
        self.assertEqual({"acknowledged", "lost"}, probe["writes"].keys())
        self.assertLessEqual({"accelerator", "wan", "tunnel", "load"}, whole["environment"].keys())
        self.assertEqual(whole["started_at"], "2026-11-23T04:15:00Z")


if __name__ == "__main__":
    unittest.main()
