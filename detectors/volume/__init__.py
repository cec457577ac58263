"""Counts per interval against a robust seasonal baseline."""
