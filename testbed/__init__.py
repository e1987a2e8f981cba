"""Two real, independent OpenStack clouds on this computer, for tests and for whoever works on the adapter."""
