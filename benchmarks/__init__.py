"""Programs that measure; see each."""
