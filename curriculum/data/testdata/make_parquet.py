"""Makes the Parquet files beside it, as users' tools write them (pyarrow 26.0.1): python make_parquet.py"""

import os

import pyarrow as pa
import pyarrow.parquet as pq

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def write(name, columns, **options):
    pq.write_table(pa.table(columns), name + ".parquet", **options)


words = pa.array(["x", "y"]).dictionary_encode()
write("ids", {"ids": pa.array([[1, 2], [3]], pa.list_(pa.int32())), "label": pa.array([0, 1])})
write("large_list", {"ids": pa.array([[1, 2], [3]], pa.large_list(pa.int64())), "label": words}, compression="zstd")
write("text", {"text": ["où", "b"], "label": pa.array([2, 0], pa.int8())}, compression="gzip", data_page_version="2.0")
write("babilong", {"input": ["a."], "question": ["b?"], "target": ["c"]}, compression="brotli")
write("null", {"ids": pa.array([[1, None]]), "label": [0]})
write("no_list", {"ids": pa.array([[1], None]), "label": [0, 1]})
