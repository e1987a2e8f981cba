"""The cloud platform layer: one adapter for each kind of cloud, behind the port in port.py."""
