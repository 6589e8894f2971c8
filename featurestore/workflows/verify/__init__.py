"""Comparing every online value with the history, and fixing what differs."""
