"""Faults, injected for real into moves of the demo cluster, and what became of the servers, the data and the clients.

make chaos                                    every kind in every phase, some two hours
.venv/bin/python -m benchmarks.chaos --help
"""
