import json
import os
import tempfile
import unittest
from pathlib import Path

from intercloud.clouds.ability import Ability
from intercloud.errors import ConfigError
from intercloud.settings import Hypervisors, LabCloud, SecretFrom, Settings, load


class Load(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "config.json"

    def mistakes(self, content: object) -> tuple[str, ...]:
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))
        with self.assertRaises(ConfigError) as caught:
            load(self.file)
        return caught.exception.problems

    def test_the_example_in_the_repository_is_right(self) -> None:
        load(Path(__file__).parents[2] / "config.example.json")

    def test_without_a_file_the_lab(self) -> None:
        self.assertEqual(list(Settings().clouds), ["lab-a", "lab-b"])

    def test_every_mistake_is_told_at_once_with_its_path(self) -> None:
        found = self.mistakes(
            {
                "clouds": {"a": {"type": "lab", "sit": "x"}, "b": {"type": "vmware"}, "c": {"type": "openstack"}},
                "sdn": {"tunnel": "ipsec"},
                "lab": {"wan": {"rate_mbit": "fast"}},
            }
        )
        for path in ("clouds.a.sit:", "clouds.b:", "clouds.c.border:", "sdn.tunnel:", "lab.wan.rate_mbit:"):
            self.assertEqual(sum(line.startswith(path) for line in found), 1, (path, found))
        self.assertIn("expected 'vxlan' or 'gre', found \"ipsec\"", "\n".join(found))

    def test_a_lab_cloud_needs_a_site(self) -> None:
        self.assertIn("clouds.x: the lab has no site 'x'", self.mistakes({"clouds": {"x": {"type": "lab"}}})[0])

    def test_abilities_of_a_lab_cloud(self) -> None:
        self.file.write_text(json.dumps({"clouds": {"lab-a": {"type": "lab", "abilities": ["cold"]}}}))
        cloud = load(self.file).clouds["lab-a"]
        assert isinstance(cloud, LabCloud)
        self.assertEqual(cloud.abilities, {Ability.COLD})
        (line,) = self.mistakes({"clouds": {"lab-a": {"type": "lab", "abilities": ["cold", "magic"]}}})
        self.assertRegex(line, "^clouds.lab-a.abilities.1: expected 'cold', .*, found \"magic\"$")

    def test_what_is_not_json_is_told_with_its_line(self) -> None:
        self.assertIn("line 2 column", self.mistakes('{\n "clouds": }')[0])

    def test_a_secret_in_plain_is_never_repeated(self) -> None:
        cloud = {
            "type": "openstack",
            "auth_url": "http://x",
            "application_credential_id": "i",
            "application_credential_secret": "hunter2",
        }
        self.assertNotIn("hunter2", "\n".join(self.mistakes({"clouds": {"o": cloud}})))

    def test_a_missing_file_is_told(self) -> None:
        with self.assertRaisesRegex(ConfigError, "cannot be read: No such file"):
            load(self.file)

    def test_hypervisors_need_an_operator(self) -> None:
        border = dict.fromkeys(("ovsdb", "controller", "address"), "x") | {"underlay": {}, "fabrics": {}}
        border["datapath_id"] = "00000000000000a1"
        cloud = {"type": "openstack", "cloud": "o", "border": border, "hypervisors": "qemu+ssh://{host}/system"}
        said = "\n".join(self.mistakes({"clouds": {"o": cloud}}))
        self.assertIn("'hypervisors' needs 'operator'", said)


class Hosts(unittest.TestCase):
    def test_an_address_alone_is_that_of_libvirt(self) -> None:
        found = Hypervisors.model_validate("qemu+tls://{host}/system")
        self.assertEqual((found.libvirt, found.address), ("qemu+tls://{host}/system", "{host}"))


class Secrets(unittest.TestCase):
    def test_from_the_environment_or_a_file(self) -> None:
        os.environ["INTERCLOUD_TEST_SECRET"] = "s"
        self.addCleanup(os.environ.pop, "INTERCLOUD_TEST_SECRET")
        self.assertEqual(SecretFrom(env="INTERCLOUD_TEST_SECRET").read(), "s")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("t\n")
            file.flush()
            self.assertEqual(SecretFrom(file=Path(file.name)).read(), "t")

    def test_what_is_missing_is_told(self) -> None:
        with self.assertRaisesRegex(ConfigError, "INTERCLOUD_NOT_THERE is not set"):
            SecretFrom(env="INTERCLOUD_NOT_THERE").read()


if __name__ == "__main__":
    unittest.main()
