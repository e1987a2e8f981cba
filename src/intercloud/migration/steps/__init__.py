"""The steps of a migration, each with its check, its act and its undo; phases.py puts them in order."""
