"""DuckDB's ASOF join: KEY NAME[,NAME...] LABELS OUTPUT DATABASE [plain].

Breaks ties by run. With ``plain`` it says nothing of them: which row then answers is not promised, though in a table
that is clustered by run as well it is the last.
"""

import sys

import duckdb

key, names, labels, output, database, *plain = sys.argv[1], sys.argv[2].split(","), *sys.argv[3:]
LAST_RUN = 2**63 - 1
on = (
    'l.{key} = {name}.{key} AND l."at" >= {name}.computed_at'
    if plain
    else f'l.{{key}} = {{name}}.{{key}} AND row(l."at", {LAST_RUN}) >= row({{name}}.computed_at, {{name}}.run_seq)'
)
joins = " ".join(f"ASOF LEFT JOIN {name} ON {on.format(key=key, name=name)}" for name in names)
values = ", ".join(f"{name}.value AS {name}" for name in names)
with duckdb.connect(database, read_only=True) as db:
    db.execute("SET TimeZone = 'UTC'")
    db.execute(
        f"""COPY (SELECT l.*, {values} FROM (SELECT {key}, "at"::TIMESTAMP AS "at" FROM '{labels}') l {joins})
            TO '{output}' (FORMAT parquet, COMPRESSION zstd)"""
    )
