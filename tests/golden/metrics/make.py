"""What the real scoring scripts of MME-RealWorld, HR-Bench, MathVista and V* state of made-up answers.

    python make.py LMMS_EVAL VLMEVALKIT MME_REALWORLD MATHVISTA      (checkouts; writes golden.json beside itself)

Rows are drawn here; every number comes from the originals, which are imported as they are (see ../extract/make.py,
which is imported for that). Avg-C is computed by no script: it is the mean of the script's own subtask numbers.
"""
import contextlib
import io
import json
import pathlib
import runpy
import sys
import tempfile

import numpy as np
import pandas as pd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "extract"))
import make as originals  # noqa: E402

KIT = pathlib.Path(sys.argv[2])
rng = np.random.default_rng(3)
golden = {}

# MME-RealWorld ------------------------------------------------------------------------------------------------------
SUBTASKS = ["Monitoring", "OCR with Complex Context", "Diagram and Table", "Autonomous_Driving", "Remote Sensing"]
CATEGORIES = ["Vehicle/counting", "Person/Attribute/color", "vehicle/attribute/orientation", "calculate", "Objects_Identify"]
rows = []
for n in range(600):
    task = "Perception" if rng.uniform() < 0.7 else "Reasoning"
    subtask = SUBTASKS[rng.integers(5 if task == "Perception" else 4)]
    truth = "ABCDE"[rng.integers(5)]
    said = truth if rng.uniform() < 0.55 else "ABCDE"[rng.integers(5)]
    if rng.uniform() < 0.06:
        said = "i see nothing of the kind in this picture at all so i will not say"
    rows.append({"task": task, "subtask": subtask, "category": CATEGORIES[rng.integers(5)], "answer": truth, "response": said})

results = [
    {"Question_id": str(n), "Task": r["task"], "Subtask": r["subtask"], "Category": r["category"], "Ground truth": r["answer"], "Output": r["response"], "Answer choices": originals.MME_CHOICES[0]}
    for n, r in enumerate(rows)
]
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "results.json"
    path.write_text(json.dumps(results))
    argv, sys.argv = sys.argv, ["eval_your_results.py", "--results_file", str(path)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        state = runpy.run_path(str(originals.MME / "evaluation/eval_your_results.py"))
    sys.argv = argv
flat = {"Overall": state["succ_all"] / state["sum_all"]}
total = e_total = 0
for task, subtasks in state["results"].items():
    hits = of = e = 0
    means = []
    for subtask, categories in subtasks.items():
        right = sum(c["true"] for c in categories.values())
        count = sum(c["true"] + c["false"] for c in categories.values())
        chosen_e = sum(c["is_E"] for c in categories.values())
        if not count:
            continue
        for category, c in categories.items():
            flat[f"{task}/{subtask}/{category}"] = c["true"] / (c["true"] + c["false"])
        flat[f"{task}/{subtask}/Avg"] = right / count
        flat[f"{task}/{subtask}/E-rate"] = chosen_e / count
        means.append(right / count)
        hits, of, e = hits + right, of + count, e + chosen_e
    flat[f"{task}/Avg"] = hits / of
    flat[f"{task}/Avg-C"] = sum(means) / len(means)
    flat[f"{task}/E-rate"] = e / of
    total, e_total = total + of, e_total + e
flat["E-rate"] = e_total / total
golden["mme"] = {"rows": rows, "scores": flat}

frame = pd.DataFrame({
    "category": [f"{r['task']}/{r['subtask']}" for r in rows],
    "l2-category": [r["category"] for r in rows],
    "score": [int(originals.kit_mme(r["response"]) == r["answer"]) for r in rows],
})
originals.kit_choice.load = lambda _: frame
rating = originals.kit_choice.get_dimension_rating("scores")
kit = {"Overall": rating["Overall"]}
for task in ("Perception", "Reasoning"):
    kit[f"{task}/Avg"] = rating[task]["Avg"]
    for subtask in SUBTASKS:
        for category, value in rating[task][subtask].items():
            if len(rating[task][subtask]) > 1:
                kit[f"{task}/{subtask}/{category}"] = value
golden["mme"]["vlmevalkit"] = {name: float(value) for name, value in kit.items()}

lmms_rows = [
    originals.lmms_mme.mme_realworld_process_results(
        {"category": f"{r['task']}/{r['subtask']}", "l2-category": r["category"], "index": n, "answer": r["answer"]}, [r["response"]]
    )["mme_realworld_score"]
    for n, r in enumerate(rows)
]
golden["mme"]["lmms-eval"] = {"Overall": originals.lmms_mme.mme_realworld_aggregate_results(lmms_rows)}

# HR-Bench -----------------------------------------------------------------------------------------------------------
rows = []
for question in range(50):
    category = "single" if question % 2 else "cross"
    for cycle in range(4):
        rows.append({"category": category, "cycle_category": str(cycle), "right": bool(rng.uniform() < (0.7 if category == "single" else 0.5) - 0.05 * cycle)})
spec = originals.load("kit_hr", KIT / "vlmeval/dataset/utils/hrbench.py")
table = spec.report_acc_hrbench(pd.DataFrame({"category": [r["category"] for r in rows], "cycle_category": [r["cycle_category"] for r in rows], "hit": [int(r["right"]) for r in rows]}))
scores = {}
for _, line in table.iterrows():
    name = "average" if line["cycle"] == "Average" else f"cycle {line['cycle']}"
    scores[f"{line['type']}/{name}"] = float(line["accuracy"])
lmms = {}
for part in ("single", "cross", "all"):
    inside = [{"gpt_score": int(r["right"]), "cycle_category": r["cycle_category"]} for r in rows if part in ("all", r["category"])]
    lmms[f"{part}/average"] = originals.lmms_hr.hrbench_aggregate_results(inside, None)
golden["hr_bench"] = {"rows": rows, "scores": scores, "lmms-eval": lmms}

# MathVista ----------------------------------------------------------------------------------------------------------
KEYS = {
    "question_type": ["multi_choice", "free_form"], "answer_type": ["text", "integer", "float"], "language": ["english", "chinese"], "source": ["a", "b"],
    "category": ["math-targeted-vqa", "general-vqa"], "task": ["geometry problem solving", "figure question answering"], "context": ["table", "bar chart", "scientific figure"], "grade": ["elementary school", "college", "not applicable"],
}
SKILLS = ["algebraic reasoning", "arithmetic reasoning", "statistical reasoning"]
rows = []
for n in range(200):
    row = {key: values[rng.integers(len(values))] for key, values in KEYS.items()}
    row["skills"] = [SKILLS[k] for k in sorted(rng.choice(3, rng.integers(1, 4), replace=False))]
    rows.append(row | {"right": bool(rng.uniform() < 0.6)})
frame = pd.DataFrame(rows).assign(true_false=[r["right"] for r in rows])
scores = {"average": float(np.mean([r["right"] for r in rows]))}
for key in [*KEYS, "skills"]:
    for value in SKILLS if key == "skills" else frame[key].unique():
        right, total, share = originals.vista_score.get_acc_with_contion(frame, key, value)
        scores[f"{key}/{value}"] = float(share)
golden["mathvista"] = {"rows": rows, "scores": scores}

# V* -----------------------------------------------------------------------------------------------------------------
rows = [{"category": "direct_attributes" if n < 115 else "relative_position", "right": bool(rng.uniform() < 0.7)} for n in range(191)]
parts = {"overall": rows} | {c: [r for r in rows if r["category"] == c] for c in ("direct_attributes", "relative_position")}
golden["vstar"] = {
    "rows": rows,
    "scores": {name: originals.lmms_vstar.vstar_aggregate_results([{"category": r["category"], "score": float(r["right"])} for r in part]) / 100 for name, part in parts.items()},
}

golden["versions"] = originals.golden["versions"] | {"numpy": np.__version__, "sources": originals.used}
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, separators=(",", ":")))
