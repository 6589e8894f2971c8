"""The article's LATERAL join on a PostgreSQL server: ADDRESS TABLE NAME LABELS OUTPUT. ADDRESS is a file.

As fast as we know to make it: labels sorted by key and time, sent by binary COPY into a temporary table, each
looked up in an index that holds the value too, the answer fetched by binary COPY and put into the labels' order.
"""

import sys
from pathlib import Path

import polars as pl
from adbc_driver_postgresql import dbapi

address, table, name, source, output = sys.argv[1:]
labels = pl.read_parquet(source)
sent = labels.with_columns(pl.col("at").dt.replace_time_zone(None)).with_row_index("n").sort("user_id", "at")
with dbapi.connect(Path(address).read_text(), autocommit=True) as connection, connection.cursor() as cursor:
    for setting in ("jit = off", "work_mem = '256MB'", "temp_buffers = '256MB'"):
        cursor.execute(f"SET {setting}")
    cursor.adbc_ingest("labels", sent.cast({"n": pl.Int64}), mode="create", temporary=True)
    cursor.execute("ANALYZE labels")
    cursor.execute(
        f"""SELECT l.n, h.value FROM labels l LEFT JOIN LATERAL (
                SELECT value FROM {table} WHERE user_id = l.user_id AND computed_at <= l.at
                ORDER BY computed_at DESC, run_seq DESC LIMIT 1
            ) h ON true"""
    )
    found = pl.DataFrame(cursor.fetch_arrow())
labels.with_columns(found.sort("n")["value"].alias(name)).write_parquet(output)
