"""All tables but the histories, as numbered migrations that are the same SQL in DuckDB and PostgreSQL.

``runs`` is the audit log; ``deletions`` has the marks of entities that were deleted, for versions to come; ``counter``
gives out run_seq; ``positions`` says how far each version has read its source; ``meta.erasing`` is the record of
erasures that are not complete; ``versions.withdrawn_seq`` is the first run that withdrew a pair of the version, null
where none ever did, and ``versions.known_seq`` the first that stored known times of its rows; ``run_features.taken`` is
JSON: what was evaluated, and why. ``raw_batches`` and ``raw_parts`` have the rows of sources that can't be read again,
``source_positions`` how far each of them has been read, ``raw_dropped`` which of the batches went past a retention.
"""

from __future__ import annotations

import re

from featurestore.errors import NewerFormatError

FORMAT = 11

# A step that was released never changes: there are stores that have taken it.
MIGRATIONS = {
    1: """
    CREATE TABLE meta (format BIGINT NOT NULL, store_id UUID NOT NULL);
    INSERT INTO meta VALUES (1, gen_random_uuid());
    CREATE TABLE counter (run_seq BIGINT NOT NULL, learned_at BIGINT NOT NULL);
    INSERT INTO counter VALUES (0, 0);
    CREATE TABLE versions (
        feature TEXT NOT NULL, sha256 TEXT NOT NULL, number BIGINT NOT NULL, entity_type TEXT NOT NULL,
        keys TEXT NOT NULL, data_type TEXT NOT NULL, max_age BIGINT, table_name TEXT NOT NULL,
        created_seq BIGINT NOT NULL);
    CREATE TABLE runs (
        run_id TEXT NOT NULL, run_seq BIGINT, learned_at BIGINT, started_at BIGINT NOT NULL,
        finished_at BIGINT NOT NULL, duration_s FLOAT8 NOT NULL, status TEXT NOT NULL, sources TEXT NOT NULL,
        host TEXT NOT NULL, git_commit TEXT);
    CREATE TABLE run_features (
        run_id TEXT NOT NULL, position BIGINT NOT NULL, name TEXT NOT NULL, sha256 TEXT, version BIGINT,
        source TEXT NOT NULL, status TEXT NOT NULL, new_version BOOLEAN NOT NULL, rows_read BIGINT NOT NULL,
        rows_rejected BIGINT NOT NULL, rows_written BIGINT NOT NULL, rows_unchanged BIGINT NOT NULL,
        rows_corrected BIGINT NOT NULL, note TEXT, drift TEXT, statistics TEXT, error TEXT);
    CREATE TABLE positions (
        feature TEXT NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL, fingerprint TEXT NOT NULL,
        files TEXT NOT NULL, run_seq BIGINT NOT NULL);
    CREATE TABLE rejected (
        run_id TEXT NOT NULL, position BIGINT NOT NULL, source TEXT NOT NULL, file TEXT NOT NULL,
        row_number BIGINT NOT NULL, column_name TEXT, reason TEXT NOT NULL, row_values TEXT NOT NULL);
    CREATE TABLE samples (
        feature TEXT NOT NULL, sha256 TEXT NOT NULL, run_seq BIGINT NOT NULL, sample BYTEA NOT NULL);
    CREATE TABLE drift_references (
        feature TEXT NOT NULL, sha256 TEXT NOT NULL, run_seq BIGINT, span BIGINT, method TEXT,
        set_at BIGINT NOT NULL);
    """,
    2: """
    CREATE TABLE datasets (name TEXT NOT NULL, made_at BIGINT NOT NULL, manifest TEXT NOT NULL);
    CREATE TABLE label_files (sha256 TEXT NOT NULL, position BIGINT NOT NULL, bytes BYTEA NOT NULL);
    """,
    3: """
    UPDATE positions SET files = '{"files": ' || files || '}';
    ALTER TABLE positions RENAME COLUMN files TO cursor;
    ALTER TABLE rejected ADD COLUMN place TEXT;
    ALTER TABLE rejected ALTER COLUMN file DROP NOT NULL;
    ALTER TABLE rejected ALTER COLUMN row_number DROP NOT NULL;
    """,
    4: """
    ALTER TABLE meta ADD COLUMN erasing TEXT;
    """,
    5: """
    ALTER TABLE run_features ADD COLUMN rows_withdrawn BIGINT;
    ALTER TABLE run_features ADD COLUMN taken TEXT;
    ALTER TABLE versions ADD COLUMN withdrawn_seq BIGINT;
    ALTER TABLE versions ADD COLUMN scope TEXT;
    CREATE TABLE deletions (
        entity_type TEXT NOT NULL, keys TEXT NOT NULL, deleted_at BIGINT NOT NULL, run_seq BIGINT NOT NULL,
        author TEXT NOT NULL);
    """,
    6: """
    CREATE TABLE raw_batches (
        source TEXT NOT NULL, sequence BIGINT NOT NULL, run_seq BIGINT NOT NULL, rows BIGINT NOT NULL,
        content TEXT NOT NULL, facts TEXT NOT NULL);
    CREATE TABLE raw_parts (
        source TEXT NOT NULL, sequence BIGINT NOT NULL, position BIGINT NOT NULL, bytes BYTEA NOT NULL);
    CREATE TABLE source_positions (source TEXT NOT NULL, cursor TEXT NOT NULL, run_seq BIGINT NOT NULL);
    """,
    7: """
    ALTER TABLE versions ADD COLUMN known_seq BIGINT;
    """,
    8: """
    ALTER TABLE versions ADD COLUMN steps BOOLEAN;
    CREATE TABLE horizons (feature TEXT NOT NULL, sha256 TEXT NOT NULL, horizon BIGINT NOT NULL);
    """,
    9: """
    CREATE TABLE raw_dropped (source TEXT NOT NULL, sequence BIGINT NOT NULL, content TEXT NOT NULL, high BIGINT);
    """,
    10: "",  # one of PostgreSQL alone
    11: "",  # one of DuckDB alone
}


def tables_in(format_: int) -> list[str]:
    """The tables of a store in a format, oldest first."""
    scripts = (script for number, script in MIGRATIONS.items() if number <= format_)
    return [name for script in scripts for name in re.findall(r"CREATE TABLE (\w+)", script)]


def check_format(found: int, where: str) -> None:
    """Raises NewerFormatError where a later release has written."""
    if found > FORMAT:
        raise NewerFormatError(
            f"is in format {found}; this release knows {FORMAT}", where=where, hint="upgrade featurestore"
        )
