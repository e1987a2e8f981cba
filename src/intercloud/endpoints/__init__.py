"""The application layer: what clients of the cluster see, and whether it is what it was."""
