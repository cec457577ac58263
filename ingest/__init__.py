"""Bytes in, records out: protocols, limits, the journal, parsing."""
