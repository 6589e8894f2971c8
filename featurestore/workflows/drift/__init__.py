"""How a feature's values have moved from run to run."""
