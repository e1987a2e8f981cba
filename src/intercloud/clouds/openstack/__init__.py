"""OpenStack as a cloud, through its public APIs."""
