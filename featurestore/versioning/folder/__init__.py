"""The version files under ``features/.versions``."""
