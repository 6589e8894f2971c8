"""Sources: one contract, a module for each type, and how their rows become typed columns."""
