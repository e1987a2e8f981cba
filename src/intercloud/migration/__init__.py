"""The migration service: the only place that knows the order in which a cluster moves."""
