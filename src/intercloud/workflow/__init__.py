"""Durable runs on DBOS. Knows nothing of servers."""
