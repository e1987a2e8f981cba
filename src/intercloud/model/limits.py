"""How short a blackout can be: the limits that measured ones are compared with.

Source: Clark et al., "Live Migration of Virtual Machines", NSDI 2005, for the last round; the terms are those of
QEMU's stream. A limit holds for an ideal mover: no queue ahead of the last set, and a network that changes within
the pause.
"""

from intercloud.units import BitsPerSecond, Bytes, Seconds


def blackout_limit(dirty: Bytes, device_state: Bytes, rate: BitsPerSecond, delay: Seconds, load: Seconds) -> Seconds:
    """Shortest blackout of a pre-copy: (W + S) / B + tau + t_load.

    dirty: W, what the guest had dirtied at the stop; device_state: S, of devices and vCPUs; rate: B, measured payload
    of the path; delay: tau, one way; load: t_load, what the target needs to load the state and resume.
    After a post-copy `dirty` is zero. Raises ValueError when the rate is not positive.
    """
    if rate <= 0:
        raise ValueError(f"the path's rate must be positive, not {rate} bit/s")
    return Seconds((dirty + device_state) * 8 / rate + delay + load)
