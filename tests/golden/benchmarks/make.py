"""Benchmarks in the layouts in which they are published, with a few made-up questions each.

    python make.py          (writes folders beside itself; takes a second)

Written with the tools that people use (pandas, Hugging Face datasets). `expect.json` holds what a reader must find,
taken from the values put in. Versions: versions.json.
"""
import base64
import io
import json
import pathlib
import shutil
import sys

import datasets
import numpy as np
import pandas as pd
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(8)
expect = {}


def fresh(name):
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def picture(kind="PNG", size=(12, 10)):
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def remember(name, task, rows):
    expect[name] = {"task": task, "rows": rows}


# V* -----------------------------------------------------------------------------------------------------------------
VSTAR = [
    ("direct_attributes", "sa_11", "What is the colour of the flag?", ["red", "blue", "green (dark)", "white"], [[3, 2, 4, 5]]),
    ("direct_attributes", "sa_12", "What is the material of the cup?", ["glass", "paper"], [[1, 1, 2, 2]]),
    ("relative_position", "sa_13", "Is the dog on the left or right side of the car?", ["left", "right"], [[0, 0, 3, 3], [5, 5, 4, 4]]),
]
pictures = {stem: picture("JPEG") for _, stem, *_ in VSTAR}
root = fresh("vstar_folder")
for category, stem, question, options, boxes in VSTAR:
    (root / category).mkdir(exist_ok=True)
    (root / category / f"{stem}.jpg").write_bytes(pictures[stem])
    note = {"target_object": ["x"] * len(boxes), "bbox": boxes, "question": question, "options": options}
    (root / category / f"{stem}.json").write_text(json.dumps(note))
(root / "GPT4V-hard").mkdir()
(root / "GPT4V-hard" / "0.JPG").write_bytes(pictures["sa_11"])
rows = [{"id": f"{c}/{s}", "problem": q, "answer": "A", "choices": o, "category": c} for c, s, q, o, _ in VSTAR]
remember("vstar_folder", "vstar", rows)

# The authors' lines: another order of options, and the instruction at the end of the text.
root = fresh("vstar_lines")
lines, rows = [], []
for n, (category, stem, question, options, _) in enumerate(VSTAR):
    (root / category).mkdir(exist_ok=True)
    (root / category / f"{stem}.jpg").write_bytes(pictures[stem])
    (root / category / f"{stem}.json").write_text("{}")
    turned = options[1:] + options[:1]
    label = "ABCD"[len(options) - 1]
    listed = "\n".join(f"({'ABCD'[k]}) {o}" for k, o in enumerate(turned))
    text = f"{question}\n{listed}\nAnswer with the option's letter from the given choices directly."
    lines.append({"image": f"{category}/{stem}.jpg", "text": text, "category": category, "label": label, "question_id": n})
    rows.append({"id": str(n), "problem": question, "answer": label, "choices": turned, "category": category})
(root / "test_questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
remember("vstar_lines", "vstar", rows)

root = fresh("vstar_parquet/data")
features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string"), "label": datasets.Value("string"), "category": datasets.Value("string"), "question_id": datasets.Value("string")})
table = [line | {"image": {"bytes": pictures[s], "path": f"{s}.jpg"}, "question_id": str(line["question_id"])} for line, (_, s, *_) in zip(lines, VSTAR)]
datasets.Dataset.from_list(table, features=features).to_parquet(root / "test-00000-of-00001.parquet")
remember("vstar_parquet", "vstar", rows)

root = fresh("vstar_choices")
features = datasets.Features({"image": datasets.Image(), "category": datasets.Value("string"), "question_id": datasets.Value("string"), "question": datasets.Value("string"), "choices": datasets.Sequence(datasets.Value("string")), "answer": datasets.Value("int64")})
table = [{"image": {"bytes": pictures[s], "path": f"{s}.jpg"}, "category": c, "question_id": s, "question": q, "choices": o, "answer": 0} for c, s, q, o, _ in VSTAR]
datasets.Dataset.from_list(table, features=features).to_parquet(root / "vstar.parquet")
remember("vstar_choices", "vstar", [{"id": s, "problem": q, "answer": "A", "choices": o, "category": c} for c, s, q, o, _ in VSTAR])

root = fresh("vstar_tsv")
table = [{"index": n, "image": base64.b64encode(pictures[s]).decode(), "question": q, **dict(zip("ABCD", o)), "answer": "A", "category": c} for n, (c, s, q, o, _) in enumerate(VSTAR)]
pd.DataFrame(table).to_csv(root / "VStarBench.tsv", sep="\t", index=False)
remember("vstar_tsv", "vstar", [{"id": str(n), "problem": q, "answer": "A", "choices": o, "category": c} for n, (c, s, q, o, _) in enumerate(VSTAR)])

# MME-RealWorld ------------------------------------------------------------------------------------------------------
E = "The image does not feature it"
MME = [
    ("Perception", "Monitoring", "Vehicle/Attribute/color", "What colour is the bus?", ["red", "blue, or \"blue\"", "it's green", "4", E], "B", 0),
    ("Reasoning", "OCR with Complex Context", "Scene understanding", "What may happen?", ["rain", "snow", "wind", "sun", E], "E", 1),
    ("Perception", "Monitoring", "Vehicle/counting", "How many\tbuses?", ["1", "2", "3", "4", E], "D", 0),
]
SIGHTS = [picture(), picture("JPEG")]


def letters(options, form="({}) {}"):
    return [form.format("ABCDE"[k], o) for k, o in enumerate(options)]


def official(form="({}) {}"):
    return [
        {"Question_id": f"{t}/{s}/{n}", "Image": f"sights/{i}.{'png' if i == 0 else 'jpg'}", "Text": q, ("Question Type" if n else "Question type"): "Multiple Choice", "Answer choices": letters(o, form), "Ground truth": a, "Category": c, "Subtask": s, "Task": t}
        for n, (t, s, c, q, o, a, i) in enumerate(MME)
    ]


def mme_rows(ids):
    # Questions about one picture lie side by side.
    order = [0, 2, 1]
    all_rows = [{"id": i, "problem": q, "answer": a, "choices": o, "task": t, "subtask": s, "category": c} for i, (t, s, c, q, o, a, _) in zip(ids, MME)]
    return [all_rows[k] for k in order]


root = fresh("mme_json")
(root / "sights").mkdir()
(root / "sights/0.png").write_bytes(SIGHTS[0])
(root / "sights/1.jpg").write_bytes(SIGHTS[1])
(root / "MME_RealWorld.json").write_text(json.dumps(official()))
(root / "MME_RealWorld_CN.json").write_text(json.dumps(official("（{}）{}")[:1], ensure_ascii=False))
named = [f"{t}/{s}/{n}" for n, (t, s, *_) in enumerate(MME)]
remember("mme_json", "mme-realworld", mme_rows(named))
expect["mme_json_cn"] = {"folder": "mme_json", "task": "mme-realworld-cn", "rows": mme_rows(named)[:1]}

coded = [{"index": n, "image": base64.b64encode(SIGHTS[i]).decode(), "question": q, "multi-choice options": letters(o), "answer": a, "category": f"{t}/{s}", "l2-category": c} for n, (t, s, c, q, o, a, i) in enumerate(MME)]
root = fresh("mme_base64")
(root / "MME-RealWorld").mkdir()
(root / "MME-RealWorld/monitoring.json").write_text(json.dumps(coded))
numbers = [str(n) for n in range(3)]
remember("mme_base64", "mme-realworld", mme_rows(numbers))
root = fresh("mme_lite")
pd.DataFrame(coded).assign(**{"multi-choice options": [str(letters(o)) for *_, o, _, _ in MME]}).to_csv(root / "mme_realworld_lite.tsv", sep="\t", index=False)
remember("mme_lite", "mme-realworld-lite", mme_rows(numbers))
root = fresh("mme_parquet/data")
datasets.Dataset.from_list([{("bytes" if k == "image" else k): v for k, v in row.items()} for row in coded]).to_parquet(root / "train-00000-of-00001.parquet")
remember("mme_parquet", "mme-realworld-lite", mme_rows(numbers))

# HR-Bench -----------------------------------------------------------------------------------------------------------
HR = [("single", "What is the number?", ["12", "21", "7", "70"], picture("JPEG", (30, 20))), ("cross", "Where is it?", ["left", "right", "above", "below"], picture("JPEG", (30, 20)))]
table, rows = [], []
for cycle in range(4):
    for n, (category, question, options, sight) in enumerate(HR):
        turned = options[cycle:] + options[:cycle]
        answer = "ABCD"[(4 - cycle) % 4]
        table.append({"index": cycle * 2 + n, "question": question, "answer": answer, "category": category, **dict(zip("ABCD", turned)), "cycle_category": cycle, "image": base64.b64encode(sight).decode()})
        rows.append({"id": str(cycle * 2 + n), "problem": question, "answer": answer, "choices": turned, "category": category, "cycle_category": str(cycle)})
rows = rows[0::2] + rows[1::2]
root = fresh("hr_bench")
pd.DataFrame(table).to_csv(root / "hr_bench_4k.tsv", sep="\t", index=False)
pd.DataFrame(table).to_csv(root / "hr_bench_8k.tsv", sep="\t", index=False)
remember("hr_bench", "hr-bench-4k", rows)
root = fresh("hr_bench_parquet")
pd.DataFrame(table).to_parquet(root / "hr_bench_8k.parquet")
remember("hr_bench_parquet", "hr-bench-8k", rows)

# MathVista ----------------------------------------------------------------------------------------------------------
VISTA = [
    ("1", "What is x?", ["4", "5", "6.5"], "6.5", "multi_choice", "text", None, ["algebraic reasoning", "geometry reasoning"]),
    ("2", "How tall is it?", None, "1.2", "free_form", "float", 1.0, ["arithmetic reasoning"]),
    ("3", "How many?", None, "7", "free_form", "integer", None, ["arithmetic reasoning"]),
    ("4", "Which years?", None, "[2007, 2008]", "free_form", "list", None, ["statistical reasoning"]),
]
sights = [picture() for _ in VISTA]
meta = {"category": "general-vqa", "context": "table", "grade": "college", "img_height": 10, "img_width": 12, "language": "english", "source": "made up", "split": "testmini", "task": "figure question answering"}
table = [
    {"pid": pid, "question": q, "image": f"images/{pid}.jpg", "decoded_image": {"bytes": sight, "path": f"{pid}.jpg"}, "choices": o, "unit": "m" if kind == "float" else None, "precision": p, "answer": a, "question_type": qt, "answer_type": kind, "metadata": meta | {"skills": skills}, "query": f"Hint: as published.\nQuestion: {q}"}
    for sight, (pid, q, o, a, qt, kind, p, skills) in zip(sights, VISTA)
]
root = fresh("mathvista/data")
string = datasets.Value("string")
features = datasets.Features({
    "pid": string, "question": string, "image": string, "decoded_image": datasets.Image(), "choices": datasets.Sequence(string), "unit": string, "precision": datasets.Value("float64"), "answer": string, "question_type": string, "answer_type": string,
    "metadata": {k: datasets.Value("int64") if k.startswith("img") else string for k in meta} | {"skills": datasets.Sequence(string)}, "query": string,
})
datasets.Dataset.from_list(table, features=features).to_parquet(root / "testmini-00000-of-00001-725687bf7a18d64b.parquet")
remember("mathvista", "mathvista", [{"id": pid, "problem": q, "answer": a, "choices": o or [], "answer_type": kind, "source": "made up", "skills": s} for pid, q, o, a, _, kind, _, s in VISTA])

(HERE / "expect.json").write_text(json.dumps(expect, indent=1, ensure_ascii=False))
versions = {m.__name__: m.__version__ for m in (datasets, np, pd)} | {"python": sys.version.split()[0]}
(HERE / "versions.json").write_text(json.dumps(versions, indent=1))
