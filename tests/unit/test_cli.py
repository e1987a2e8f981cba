import unittest

from intercloud.cli.main import parser

MOVE = ("migrate", "--source", "a", "--target", "b")


class CommandLine(unittest.TestCase):
    def test_verbose_may_be_said_before_and_after_migrate(self) -> None:
        for words, verbose in ((MOVE, False), (("--verbose", *MOVE), True), ((*MOVE, "--verbose"), True)):
            self.assertIs(parser().parse_args(words).verbose, verbose, words)


if __name__ == "__main__":
    unittest.main()
