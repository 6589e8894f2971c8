"""Sorted columns beside the history, which a join maps into memory."""
