"""The version files and metadata under ``features/.versions``."""
