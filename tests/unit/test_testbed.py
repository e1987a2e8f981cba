"""The testbed's configuration, as far as it can be told without starting anything."""

import configparser
import unittest
from pathlib import Path

from testbed import files, services
from testbed.layout import HOSTS, VENV


class Files(unittest.TestCase):
    def setUp(self) -> None:
        self.known = {host.name: files.words(host, "qemu") for host in HOSTS}

    def render(self, template: str, host: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None, strict=True)
        parser.read_string(files.render(template, self.known[host]))
        return parser

    def test_every_template_is_used_and_every_word_is_known(self) -> None:
        used = {*files.OF_HOST, *files.OF_HUB}
        self.assertEqual({path.name for path in files.TEMPLATES.iterdir()}, used)
        for host in HOSTS:
            for template in files.OF_HOST:
                self.assertNotIn("$", files.render(template, self.known[host.name]), template)

    def test_the_clouds_share_no_address_database_or_queue(self) -> None:
        one, other = self.known.values()
        same = {key for key in one if one[key] == other[key]}
        self.assertEqual(same, {"provider", "volume_type", "accelerator"})

    def test_the_compute_service_sees_no_database(self) -> None:
        found = self.render("nova-cpu.conf", "openstack-a")
        self.assertFalse({"database", "api_database"} & set(found.sections()))

    def test_all_services_ask_the_same_keystone(self) -> None:
        for template in ("placement.conf", "glance-api.conf", "nova-cpu.conf", "neutron.conf", "cinder.conf"):
            found = self.render(template, "openstack-b")
            self.assertEqual(found["keystone_authtoken"]["auth_url"], "http://10.77.0.12:5000/v3")

    def test_every_service_finds_its_configuration(self) -> None:
        places = {*files.OF_HOST.values(), "nova/nova.conf"}
        for service in (*services.SERVICES, *services.AGENTS, *services.STORAGE):
            self.assertLessEqual(set(service.config), places, service.name)

    def test_each_queue_user_sees_its_own_cloud_only(self) -> None:
        for each in files.definitions()["permissions"]:
            self.assertEqual(each["user"], each["vhost"])

    def test_its_environment_is_beside_the_project(self) -> None:
        self.assertEqual(VENV.parent, Path(__file__).parents[2])


if __name__ == "__main__":
    unittest.main()
