"""Drift: the reference, the timeline of a feature, all features at a glance, and what is done with verdicts."""
