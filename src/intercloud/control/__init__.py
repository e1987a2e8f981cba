"""The control layer: which switch sends which endpoint's traffic where, and how that changes without losing a packet.

`registry` says what is wanted; `pipeline`, `fabric`, `tunnels` and `cutover` turn it into flows, ports and messages and
do nothing else; `openflow_app` and `ovsdb` talk to the switches; `controller` and `daemon` run it all; `client` is what
the rest of Intercloud uses.
"""
