"""A lake: the tables of many journals as Parquet files, for queries over all of them. Written and read with DuckDB.

    DIR/lake.json                    the format
    DIR/<table>/<journal_id>.parquet the rows of one journal, without texts; one row group, or several of a long one
    DIR/manifests/<journal_id>.json  size and SHA-256 of each of its files

LAW-LAKE-1: a lake holds no body and no salt: commitments in it open nothing.
LAW-LAKE-2: a table is written for each journal, also where it has no rows; its columns have declared types.
LAW-LAKE-3: a question is answered from whole files only: one that is missing, cut or changed is told by its name.
"""
