"""Loads an imported parquet with Python's `datasets` and compares with the pictures it was made of.

    python check_load.py IMPORTED/data.parquet IMAGES_FOLDER
"""
import io
import pathlib
import sys

import datasets
from PIL import Image

parquet, images = sys.argv[1], pathlib.Path(sys.argv[2])
rows = datasets.load_dataset("parquet", data_files=parquet, split="train")
print(rows.features)
raw = rows.cast_column("images", datasets.Sequence(datasets.Image(decode=False)))
compared = 0
for decoded, encoded in zip(rows, raw):
    for picture, stored in zip(decoded["images"], encoded["images"]):
        source = (images / pathlib.Path(stored["path"]).name).read_bytes()
        assert stored["bytes"] == source, stored["path"]
        assert isinstance(picture, Image.Image)
        assert picture.convert("RGB").tobytes() == Image.open(io.BytesIO(source)).convert("RGB").tobytes()
        compared += 1
print(f"{len(rows)} rows, {compared} images byte-equal and decoded alike")
