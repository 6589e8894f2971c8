"""Scripts that set a store back to what earlier releases wrote, in the SQL that both stores understand."""

TO_FORMAT_10 = """
ALTER TABLE versions DROP COLUMN IF EXISTS together;
UPDATE meta SET format = 10;
"""
TO_FORMAT_9 = f"""{TO_FORMAT_10}
DROP TABLE IF EXISTS packed_rows;
UPDATE meta SET format = 9;
"""
TO_FORMAT_8 = f"""{TO_FORMAT_9}
DROP TABLE raw_dropped;
UPDATE meta SET format = 8;
"""
TO_FORMAT_7 = f"""{TO_FORMAT_8}
ALTER TABLE versions DROP COLUMN steps;
DROP TABLE horizons;
UPDATE meta SET format = 7;
"""
TO_FORMAT_6 = f"""{TO_FORMAT_7}
ALTER TABLE versions DROP COLUMN known_seq;
UPDATE meta SET format = 6;
"""
TO_FORMAT_5 = f"""{TO_FORMAT_6}
DROP TABLE raw_batches;
DROP TABLE raw_parts;
DROP TABLE source_positions;
UPDATE meta SET format = 5;
"""
TO_FORMAT_4 = f"""{TO_FORMAT_5}
ALTER TABLE run_features DROP COLUMN rows_withdrawn;
ALTER TABLE run_features DROP COLUMN taken;
ALTER TABLE versions DROP COLUMN withdrawn_seq;
ALTER TABLE versions DROP COLUMN scope;
DROP TABLE deletions;
UPDATE meta SET format = 4;
"""
TO_FORMAT_3 = f"""{TO_FORMAT_4}
ALTER TABLE meta DROP COLUMN erasing;
UPDATE meta SET format = 3;
"""
TO_FORMAT_2 = f"""{TO_FORMAT_3}
UPDATE positions SET cursor = CAST(CAST(cursor AS JSON) -> 'files' AS TEXT);
ALTER TABLE positions RENAME COLUMN cursor TO files;
ALTER TABLE rejected DROP COLUMN place;
UPDATE meta SET format = 2;
"""
TO_FORMAT_1 = f"{TO_FORMAT_2} DROP TABLE datasets; DROP TABLE label_files; UPDATE meta SET format = 1;"
