"""The embedded offline store: one DuckDB file."""
