"""Writes a parquet of about SIZE megabytes of photographs-like noise, to measure the memory of an import by hand.

    python make_large.py OUT.parquet SIZE_MB
    /usr/bin/time -v foveate prep import OUT.parquet --out FOLDER
"""
import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

out, size = sys.argv[1], int(sys.argv[2])
held = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 1000, 3), dtype=np.uint8)).save(held, "JPEG", quality=92)
jpeg = held.getvalue()
rows_in_group = 100
schema = pa.schema([("id", pa.string()), ("problem", pa.string()), ("answer", pa.string()), ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])))])
with pq.ParquetWriter(out, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
    written = 0
    while written < size << 20:
        start = written // len(jpeg)
        ids = [f"r{start + k}" for k in range(rows_in_group)]
        images = [[{"bytes": jpeg, "path": f"{i}.jpg"}] for i in ids]
        writer.write_table(pa.table({"id": ids, "problem": ["<image>?"] * rows_in_group, "answer": ["1"] * rows_in_group, "images": images}, schema=schema))
        written += len(jpeg) * rows_in_group
print(written >> 20, "MB,", len(jpeg), "bytes an image")
