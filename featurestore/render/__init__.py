"""Results drawn for people (Rich) and written for programs (JSON). Two renderings of one value; no work here."""
