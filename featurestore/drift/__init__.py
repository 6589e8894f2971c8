"""Describing values, drawing samples of them, and measuring how far they have drifted."""
