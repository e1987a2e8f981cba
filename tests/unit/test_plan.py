import unittest
from dataclasses import replace

from intercloud.clouds.ability import Ability
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.request import Request, make_plan
from intercloud.model.site import Tunnel
from intercloud.units import Seconds
from tests.unit.mediation.test_findings import FINE

LIMITS = Limits(Seconds(1.0), allow_postcopy=True, verify_digests=True)
REQUEST = Request("a", "b", "shop")


class MakePlan(unittest.TestCase):
    def test_post_copy_is_planned_only_where_both_clouds_can(self) -> None:
        unable = frozenset(Ability) - {Ability.POSTCOPY}
        for change in ({"source_abilities": unable}, {"target_abilities": unable}):
            plan = make_plan(REQUEST, replace(FINE, **change), Tunnel.VXLAN, LIMITS)
            self.assertFalse(plan.limits.allow_postcopy)
        self.assertTrue(make_plan(REQUEST, FINE, Tunnel.VXLAN, LIMITS).limits.allow_postcopy)

    def test_an_impossible_order_is_a_finding(self) -> None:
        tenant = replace(FINE, target_abilities=frozenset({Ability.COLD}))
        plan = make_plan(replace(REQUEST, strategy="live"), tenant, Tunnel.VXLAN, LIMITS)
        self.assertIn("the target does not offer 'hypervisor'; try --strategy cold", plan.findings[0])
        self.assertEqual(make_plan(REQUEST, tenant, Tunnel.VXLAN, LIMITS).findings, ())

    def test_its_record_can_be_read_again(self) -> None:
        plan = make_plan(REQUEST, FINE, Tunnel.VXLAN, LIMITS)
        self.assertEqual(Plan.from_json(plan.to_json()), plan)


if __name__ == "__main__":
    unittest.main()
