"""The point-in-time join of label tables."""
