"""B6, cutover: turning the traffic of n endpoints from one site to another, as Intercloud does it and as others might.

Packets go from a third site to one of the endpoints while all n are cut over in the same act. Real switches (Open
vSwitch, userspace datapath) in namespaces of the lab, its WAN between them; no guests, for receivers stand at both
places and the kernel notes when each packet came. All messages lie ready when the act begins, those of Intercloud at
the switches, as in a move. `call_s` has the way to the controller and back in it, times of reconfiguration have not.

Figures beside those: `lost` (reached nobody), `duplicated`, `stale` (came to the old place when the last barrier was
back), `gap_s` (longest time without a first delivery, less the interval), `late_s` (of the sender itself).
"""

from benchmarks.cutover.lanes import scenarios

__all__ = ["scenarios"]
