"""The shared offline store: one schema of a PostgreSQL database."""
