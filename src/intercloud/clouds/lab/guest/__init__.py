"""The guests of the lab: a small bootable image and the drive that tells each one who it is."""
