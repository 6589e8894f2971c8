"""Running features' code, and checking what it returns."""
