"""Erasing an entity for good: rows, what was measured of them, copies, and the bytes that stay on a disk."""
