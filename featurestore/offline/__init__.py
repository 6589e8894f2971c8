"""The offline store: every value ever learned, append-only, with the runs that learned it."""
