import unittest
from dataclasses import replace

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import ServerState
from intercloud.mediation.findings import blocking
from intercloud.mediation.survey import Survey
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.model.site import Quota, Tunnel, WanPath
from intercloud.model.strategy import Strategy
from intercloud.units import GIB, MIB, BitsPerSecond, Bytes, Seconds

IMAGE = Image("sha256:00", "guest", Bytes(20 * MIB))
SERVER = Server(
    "web", 1, Bytes(128 * MIB), (Disk("root", Bytes(GIB), IMAGE),), (Nic("shop", "52:54:00:00:00:01", "10.50.0.11"),)
)
EMPTY = Quota(0, Bytes(0), Bytes(0), Bytes(0))
FINE = Survey(
    "a",
    "b",
    Cluster("shop", (Network("shop", 5001, "10.50.0.0/24", 1400),), (SERVER,)),
    {"web": ServerState.RUNNING},
    frozenset(Ability),
    frozenset(Ability),
    Quota(4, Bytes(GIB), Bytes(10 * GIB), Bytes(GIB)),
    EMPTY,
    (),
    (IMAGE,),
    WanPath(Seconds(0.01), BitsPerSecond(4e8), 1500),
)


class Findings(unittest.TestCase):
    def only(self, survey: Survey, strategy: Strategy = Strategy.LIVE) -> str:
        found = blocking(survey, strategy, Tunnel.VXLAN)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_nothing_speaks_against_a_move_that_fits(self) -> None:
        self.assertEqual(blocking(FINE, Strategy.LIVE, Tunnel.VXLAN), ())

    def test_each_quota_is_told_with_what_is_needed_and_free(self) -> None:
        for change, word in (
            ({"vcpus": 0}, "1 vCPUs needed, 0 free"),
            ({"memory": Bytes(MIB)}, "128.0 MiB memory needed, 1.0 MiB free"),
            ({"disk": Bytes(MIB)}, "1.0 GiB disk needed, 1.0 MiB free"),
            ({"image_store": Bytes(MIB)}, "image store full: 20.0 MiB needed, 1.0 MiB free"),
        ):
            with self.subTest(word):
                self.assertIn(word, self.only(replace(FINE, limit=replace(FINE.limit, **change))))

    def test_an_image_that_is_there_already_needs_no_room(self) -> None:
        limit = replace(FINE.limit, image_store=Bytes(0))
        self.assertEqual(blocking(replace(FINE, limit=limit, missing=()), Strategy.LIVE, Tunnel.VXLAN), ())

    def test_a_taken_address_is_told(self) -> None:
        self.assertEqual(self.only(replace(FINE, conflicts=("b: the IP is taken",))), "b: the IP is taken")

    def test_a_tunnel_that_does_not_fit_is_told(self) -> None:
        path = replace(FINE.path, mtu=1449)
        self.assertIn("make 1450, but the WAN from a to b carries 1449", self.only(replace(FINE, path=path)))
        self.assertEqual(blocking(replace(FINE, path=path), Strategy.LIVE, Tunnel.GRE), ())

    def test_a_stopped_server_cannot_move_live(self) -> None:
        stopped = replace(FINE, states={"web": ServerState.STOPPED})
        self.assertIn("web at a is stopped, not running", self.only(stopped))
        self.assertEqual(blocking(stopped, Strategy.COLD, Tunnel.VXLAN), ())


if __name__ == "__main__":
    unittest.main()
