"""Rows of sources, kept as they were parsed: local, derived, and never trusted over the files that they came from."""
