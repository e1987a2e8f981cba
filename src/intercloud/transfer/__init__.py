"""How bytes move: disks mirrored over NBD, memory pre-copied by QEMU, digests that prove both sides equal."""
