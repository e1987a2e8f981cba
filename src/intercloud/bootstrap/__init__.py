"""The only place that names concrete classes: from settings to a service, and to the lab."""

from intercloud.bootstrap.lab import lab_down, lab_status, lab_up
from intercloud.bootstrap.network import network_down, network_status, network_up
from intercloud.bootstrap.wiring import service

__all__ = ["lab_down", "lab_status", "lab_up", "network_down", "network_status", "network_up", "service"]
