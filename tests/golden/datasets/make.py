"""Writes the fixtures of the format readers, each with the tool that people use for it.

    python make.py          (writes beside itself; takes a second)

Made with: see versions.json. `expect.json` holds what a reader must find, taken from the values put in, not from a
reader of ours.
"""
import base64
import gzip
import io
import json
import pathlib
import sys
import tarfile

import datasets
import numpy as np
import openpyxl
import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset as wds
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
IMAGES = HERE / "images"
IMAGES.mkdir(exist_ok=True)
rng = np.random.default_rng(5)


def picture(name, width, height):
    pixels = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels[:height, :width]).save(IMAGES / name)
    return name


NAMES = [picture("a.png", 16, 12), picture("b.jpg", 20, 20), picture("c.png", 9, 30)]
BYTES = {n: (IMAGES / n).read_bytes() for n in NAMES}
ROWS = [  # problem, answer, images, id
    ("<image>What is AB?", "\\boxed{3}", ["a.png"], "q-0"),
    ("Compare <image> and <image>: which is larger? é", "the second", ["b.jpg", "c.png"], "q-1"),
    ("No picture: 1 + 1?", "2", [], "q-2"),
]
expect = {}


def remember(name, rows=None, **more):
    expect[name] = {
        "rows": [
            {"id": i, "problem": p, "answer": a, "images": im} | {k: v[n] for k, v in more.items()}
            for n, (p, a, im, i) in enumerate(rows or ROWS)
        ]
    }


def structs(names):
    return [{"bytes": BYTES[n], "path": n} for n in names]


# EasyR1 / PAPO / Geometry3K: Python datasets with Image features.
features = datasets.Features(
    {
        "id": datasets.Value("string"),
        "problem": datasets.Value("string"),
        "answer": datasets.Value("string"),
        "images": datasets.Sequence(datasets.Image()),
    }
)
table = {"id": [r[3] for r in ROWS], "problem": [r[0] for r in ROWS], "answer": [r[1] for r in ROWS]}
datasets.Dataset.from_dict(table | {"images": [structs(r[2]) for r in ROWS]}, features=features).to_parquet(HERE / "easyr1.parquet")
remember("easyr1.parquet")

# Geometry3K as hiyouga/geometry3k has it: options and the letter of the right one beside the answer itself.
GEO = [("<image>Find x.", "3", ["a.png"], "geo-0"), ("<image>Find $m \\angle 1$.", "35.5", ["b.jpg"], "geo-1")]
geo_features = datasets.Features(features | {"choices": datasets.Sequence(datasets.Value("string")), "ground_truth": datasets.Value("string")})
geo_table = {"id": [r[3] for r in GEO], "problem": [r[0] for r in GEO], "answer": [r[1] for r in GEO], "images": [structs(r[2]) for r in GEO]}
geo_table |= {"choices": [["1", "2", "3", "4"], ["35.5", "36", "37", "38"]], "ground_truth": ["C", "A"]}
datasets.Dataset.from_dict(geo_table, features=geo_features).to_parquet(HERE / "geometry3k.parquet")
remember("geometry3k.parquet", GEO)

# Geometry3K as its authors publish it (lupantech/InterGPS): a folder a problem, the letter of the right option, LaTeX
# marked in `annotat_text` only. Theirs has logic forms and a second diagram beside it.
for k, (text, plain, letter, choices, image) in {
    2: ("Find $x$.", "Find x.", "C", ["1", "2", "\\frac { 3 } { 2 }", "4"], "a.png"),
    11: ("Find $m\\angle 1$", "Find m \\angle 1", "A", ["35.5", "36", "37", "38"], "c.png"),
}.items():
    folder = HERE / "geometry3k_folders" / "train" / str(k)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.json").write_text(json.dumps({"problem_text": plain, "choices": choices, "answer": letter, "problem_type_goal": ["Angle"], "id": k, "annotat_text": text, "data_type": "train"}, indent=2))
    (folder / "logic_form.json").write_text(json.dumps({"diagram_logic_form": []}))
    (folder / "img_diagram.png").write_bytes(BYTES[image])
    (folder / "img_diagram_point.png").write_bytes(BYTES["a.png"])
remember("geometry3k_folders@train", [("Find $x$.", "\\frac { 3 } { 2 }", ["a.png"], "2"), ("Find $m\\angle 1$", "35.5", ["c.png"], "11")])

# The same by pandas, compressed with zstd, images as bare bytes.
pd.DataFrame(table | {"images": [[BYTES[n] for n in r[2]] for r in ROWS]}).to_parquet(HERE / "bytes.parquet", compression="zstd")
remember("bytes.parquet")

# Paths only, under other column names (--map).
pq.write_table(pa.table({"uid": table["id"], "q": table["problem"], "a": table["answer"], "img": [r[2] for r in ROWS]}), HERE / "mapped.parquet")
remember("mapped.parquet")

with open(HERE / "easyr1.jsonl", "w") as f:
    for p, a, im, i in ROWS:
        f.write(json.dumps({"id": i, "problem": p, "answer": a, "images": im}) + "\n")
remember("easyr1.jsonl")

# verl's geometry3k preprocessing.
verl = [
    {
        "data_source": "fixture",
        "prompt": [{"role": "user", "content": p}],
        "images": [{"bytes": BYTES[n], "path": None} for n in im],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": a},
        "extra_info": {"split": "train", "index": k, "answer": a},
    }
    for k, (p, a, im, i) in enumerate(ROWS)
]
datasets.Dataset.from_list(verl).to_parquet(HERE / "verl.parquet")
remember("verl.parquet", [(p, a, im, f"train-{k}") for k, (p, a, im, _) in enumerate(ROWS)])

# TRL: messages with typed parts.
def parts(text):
    out = []
    for k, piece in enumerate(text.split("<image>")):
        out += [{"type": "image", "text": None}] if k else []
        out += [{"type": "text", "text": piece}] if piece else []
    return out


trl = [{"prompt": [{"role": "user", "content": parts(p)}], "images": structs(im), "solution": a} for p, a, im, _ in ROWS]
datasets.Dataset.from_list(trl).to_parquet(HERE / "trl.parquet")
remember("trl.parquet", [(p, a, im, str(k)) for k, (p, a, im, _) in enumerate(ROWS)])

# LLaVA, ShareGPT / LLaMA-Factory, ms-swift.
def talk(p, a, who, what, names):
    return [{who: names[0], what: p}, {who: names[1], what: a}]


llava = [{"id": i, "conversations": talk(p, a, "from", "value", ("human", "gpt"))} | ({"image": im[0] if len(im) == 1 else im} if im else {}) for p, a, im, i in ROWS]
(HERE / "llava.json").write_text(json.dumps(llava, indent=1))
remember("llava.json")
sharegpt = [{"id": i, "messages": talk(p, a, "role", "content", ("user", "assistant")), "images": im} for p, a, im, i in ROWS]
(HERE / "sharegpt.json").write_text(json.dumps(sharegpt))
remember("sharegpt.json")
with open(HERE / "swift.jsonl", "w") as f:
    for p, a, im, i in ROWS:
        f.write(json.dumps({"id": i, "messages": [{"role": "system", "content": "Look."}, {"role": "user", "content": p}], "images": [{"path": n} for n in im], "solution": a}) + "\n")
remember("swift.jsonl")

# ViRL39K: paths below images/.
virl = pa.table({"question": table["problem"], "answer": table["answer"], "PassRate_7BBase": [0.5, 0.25, 1.0], "category": ["x"] * 3, "source": ["s"] * 3, "qid": table["id"], "image": [[f"images/{n}" for n in r[2]] for r in ROWS]})
pq.write_table(virl, HERE / "virl39k.parquet")
remember("virl39k.parquet")

# WebDataset by its own writer.
with wds.TarWriter(str(HERE / "shard-000000.tar"), mtime=0) as tar:
    for k, (p, a, im, i) in enumerate(ROWS):
        sample = {"__key__": f"{k:06d}", "json": {"id": i, "question": p, "answer": a}}
        tar.write(sample | {f"{n}.{name.rsplit('.')[-1]}": BYTES[name] for n, name in enumerate(im)})
remember("shard-000000.tar")

# MME-RealWorld: official JSON; TSV and parquet with base64.
CHOICES = ["(A) red", "(B) it's blue", "(C) green", "(D) 4", "(E) The image does not feature it"]
TEXTS = [c[4:] for c in CHOICES]
mme_rows = [("What colour?", "B", ["a.png"], "perception/x/1"), ("And here?", "E", ["b.jpg"], "reasoning/y/2")]
mme = [
    {"Question_id": i, "Image": im[0], "Text": p, ("Question Type" if k else "Question type"): "Multiple Choice", "Answer choices": CHOICES, "Ground truth": a, "Category": "c", "Subtask": "s", "Task": "Perception"}
    for k, (p, a, im, i) in enumerate(mme_rows)
]
(HERE / "mme.json").write_text(json.dumps(mme))
remember("mme.json", mme_rows, choices=[TEXTS, TEXTS])
# The same with the pictures in a gzipped tar that is cut into parts, as the data set is served.
split = HERE / "split"
split.mkdir(exist_ok=True)
(split / "mme.json").write_text(json.dumps([row | {"Image": f"photos/{row['Image']}"} for row in mme]))
held = io.BytesIO()
with gzip.GzipFile(fileobj=held, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
    for name in NAMES:
        entry = tarfile.TarInfo(f"photos/{name}")
        entry.size = len(BYTES[name])
        tar.addfile(entry, io.BytesIO(BYTES[name]))
whole = held.getvalue()
cut = len(whole) // 3
for k, letters in enumerate(("aa", "ab", "ac")):
    (split / f"photos.tar.gz.part_{letters}").write_bytes(whole[k * cut : (k + 1) * cut if k < 2 else None])
remember("split/mme.json", mme_rows, choices=[TEXTS, TEXTS])
coded = {n: base64.b64encode(BYTES[n]).decode() for n in NAMES}
frame = pd.DataFrame({"index": [0, 1], "image": [coded[r[2][0]] for r in mme_rows], "question": [r[0] for r in mme_rows], "multi-choice options": [str(CHOICES)] * 2, "answer": [r[1] for r in mme_rows], "category": ["Perception/x", "Reasoning/y"], "l2-category": ["s", "s"]})
numbered = [(p, a, im, str(k)) for k, (p, a, im, _) in enumerate(mme_rows)]
frame.to_csv(HERE / "mme.tsv", sep="\t", index=False)
remember("mme.tsv", numbered, choices=[TEXTS, TEXTS])
frame.rename(columns={"image": "bytes"}).assign(**{"multi-choice options": [CHOICES] * 2}).to_parquet(HERE / "mme.parquet")
remember("mme.parquet", numbered, choices=[TEXTS, TEXTS])

# Image quality sets.
QUESTION = "How good is the quality of this image, from 1 (bad) to 5 (excellent)?"


def quality(name, answers, images, ids=("0", "1")):
    remember(name, [(QUESTION, a, [im], i) for a, im, i in zip(answers, images, ids)])


two = ["a.png", "b.jpg"]
pd.DataFrame({"image_name": two, "c1": [0, 1], "c_total": [10, 10], "MOS": [1.0, 50.5], "SD": [0.5, 0.6], "set": ["training", "test"]}).to_csv(HERE / "koniq.csv", index=False)
quality("koniq.csv", ["1.0000", "3.0000"], two)
pd.DataFrame({"Image name": two, "MOS": [75.0, 0.0], "Brightness": [50.1, 3.0]}).to_excel(HERE / "spaq.xlsx", index=False)
quality("spaq.xlsx", ["4.0000", "1.0000"], two)
pd.DataFrame({"dist_img": two, "ref_img": ["c.png"] * 2, "dmos": [4.57, 1.0], "var": [0.49, 0.9]}).to_csv(HERE / "kadid.csv", index=False)
quality("kadid.csv", ["4.5700", "1.0000"], two)
(HERE / "csiq.txt").write_text("a 0.0\nc 0.25\n")
quality("csiq.txt", ["5.0000", "4.0000"], ["a.png", "c.png"])
(HERE / "pipal.txt").write_text("a.png,1463.5\nb.jpg,1200\n")
quality("pipal.txt", ["1463.5000", "1200.0000"], two)
pd.DataFrame({"name": two, "mos": [100.0, 25.0]}).to_csv(HERE / "flive.csv", index=False)
quality("flive.csv", ["5.0000", "2.0000"], two)
deqa = [{"id": f"{n}->score", "image": n, "gt_score": 60.0, "gt_score_norm": s, "level_probs": [0, 0.1, 0.8, 0.1, 0], "std_norm": 0.3, "conversations": [{"from": "human", "value": "<|image|>?"}, {"from": "gpt", "value": "fair"}]} for n, s in zip(two, (3.25, 4.5))]
(HERE / "deqa.json").write_text(json.dumps(deqa))
quality("deqa.json", ["3.2500", "4.5000"], two, [f"{n}->score" for n in two])
hawk = [{"id": k, "images": [n], "gt_score": s, "degradation_type": t, "degradation_level": None, "group_id": "group_000000", "is_degraded": bool(t), "original_images": ["a.png"]} for k, (n, s, t) in enumerate(zip(two, (3.25, 2.0), (None, "blur")))]
(HERE / "q-hawkeye.json").write_text(json.dumps(hawk))
quality("q-hawkeye.json", ["3.2500", "2.0000"], two)

# Parquet to poison: four row groups of two rows, uncompressed.
poison = pa.table({"id": [f"p-{k}" for k in range(8)], "problem": [f"question {k} " + "x" * 40 for k in range(8)], "answer": ["yes"] * 8})
pq.write_table(poison, HERE / "groups.parquet", row_group_size=2, compression="none", use_dictionary=False, write_statistics=False)
# pyarrow checks text it is given; text columns built from buffers it takes as they are.
raw = pa.array([b"fine", b"bad \xff\xfe", b"fine too"], pa.binary()).buffers()
pq.write_table(pa.table({"problem": pa.Array.from_buffers(pa.string(), 3, raw), "answer": ["1", "2", "3"]}), HERE / "utf8.parquet")

(HERE / "expect.json").write_text(json.dumps(expect, indent=1, ensure_ascii=False))
versions = {m.__name__: m.__version__ for m in (datasets, np, openpyxl, pd, pa, PIL, wds)} | {"python": sys.version.split()[0]}
(HERE / "versions.json").write_text(json.dumps(versions, indent=1))
