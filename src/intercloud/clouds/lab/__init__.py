"""The lab: real clouds on one computer.

Each cloud is a network namespace with its own Open vSwitch (userspace datapath) and its own QEMU guests; a WAN of a
given rate, delay and loss joins them. lab.py brings it up and down, provider.py is the cloud port over it.
"""
