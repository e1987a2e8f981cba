"""A cluster of a tenant moves between two real OpenStack clouds, as a user moves it."""

import json
import unittest

from moves import MovesCase
from testbed.layout import CONTROL, LAB, OTHER_KIND
from tests import needs

from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.control.client import ControlClient
from intercloud.control.process import SOCKET_FILE
from intercloud.model.site import Tunnel


class Moves(MovesCase):
    def test_a_cluster_moves_live(self) -> None:
        source, target = self.booted()
        self.goes("live", source, target)

    @needs.long
    def test_a_server_moves_live_with_gre_between_the_clouds(self) -> None:
        source, target = self.booted("web")
        settings = json.loads(self.config.read_text())
        settings["sdn"]["tunnel"] = Tunnel.GRE
        self.config.write_text(json.dumps(settings))
        with ControlClient(CONTROL / SOCKET_FILE) as control:
            self.addCleanup(control.put, tunnel=Tunnel.VXLAN)
            control.put(tunnel=Tunnel.GRE)
            self.goes("live", source, target)

    @needs.long
    def test_a_cluster_moves_live_there_and_back_then_cold_then_warm(self) -> None:
        source, target = self.booted()
        for strategy, here, there in (
            ("live", source, target), ("live", target, source), ("cold", source, target), ("warm", target, source)
        ):  # fmt: skip
            with self.subTest(f"{strategy} to {there.host.name}"):
                self.goes(strategy, here, there)

    @needs.long
    def test_nova_does_all_with_a_server_that_came_live(self) -> None:
        source, target = self.booted()
        self.moved("live", source.host.name, target.host.name)
        server = next(each for each in target.compute.servers() if each.name == "web")
        target.goes_on(server)
        target.compute.delete_server(server)
        target.compute.wait_for_delete(server, interval=1, wait=60)

    @needs.long
    def test_a_server_moves_to_a_cloud_of_another_kind_and_back(self) -> None:
        source, target = self.booted("db")
        lab = LabCloud(LAB.place(OTHER_KIND))
        self.addCleanup(lab.delete_server, "db")
        self.moved("cold", source.host.name, OTHER_KIND)
        self.assert_nothing_left(source)
        self.assertIs(lab.server_state("db"), ServerState.RUNNING)
        for strategy, there in (("cold", target), ("warm", source)):
            with self.subTest(strategy):
                if strategy == "warm":
                    self.moved("cold", target.host.name, OTHER_KIND)
                self.moved(strategy, OTHER_KIND, there.host.name)
                self.assertIs(lab.server_state("db"), ServerState.ABSENT)
                self.assert_consistent(there)


if __name__ == "__main__":
    unittest.main()
