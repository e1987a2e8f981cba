"""A system that boots beside a server's disk and writes to it what the server's program outside could not."""
