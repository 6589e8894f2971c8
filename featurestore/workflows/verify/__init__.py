"""Comparing the online store with the history."""
