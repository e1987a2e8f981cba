"""Moves a running cluster of virtual machines between independent clouds while its application keeps answering."""

__version__ = "0.1.0"
