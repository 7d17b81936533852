"""What the real extractors of lmms-eval, VLMEvalKit, MME-RealWorld and MathVista make of a few hundred responses.

    python make.py LMMS_EVAL VLMEVALKIT MME_REALWORLD MATHVISTA      (checkouts; writes golden.json beside itself)

Their functions are imported and run as they are, none is copied. What they import beside (judges, progress bars) is
not asked for anything: where a function would ask a judge, the golden says "judge". The hashes of the files that
were run are in golden.json; lmms-eval 75571cf, VLMEvalKit e8e78f0, MME-RealWorld 87096fc, MathVista 53d5258. Needs pandas, loguru, Levenshtein, rich, pyyaml, tabulate and datasets.
"""
import ast
import hashlib
import importlib
import importlib.util
import json
import logging
import pathlib
import re
import sys
import types

import Levenshtein
import pandas
from loguru import logger

LMMS, KIT, MME, VISTA = map(pathlib.Path, sys.argv[1:5])
logging.disable(logging.CRITICAL)
logger.remove()
used = {}


class Judge(Exception):
    """A judge was asked."""


def ask(*_, **__):
    raise Judge


def stub(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def package(name, path):
    """A package without its __init__: its modules are imported as they are, what it drags in is not."""
    stub(name, __path__=[str(path)])


def note(path):
    used["/".join(path.parts[-3:])] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def load(name, path):
    note(path)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def function(path, name):
    """One function of a script that would run on import."""
    note(path)
    tree = ast.parse(path.read_text())
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    scope = {"re": re}
    exec(compile(ast.Module(body, []), str(path), "exec"), scope)
    return scope[name]


# lmms-eval
package("lmms_eval", LMMS / "lmms_eval")
package("lmms_eval.tasks", LMMS / "lmms_eval/tasks")
package("lmms_eval.tasks.hrbench", LMMS / "lmms_eval/tasks/hrbench")
package("lmms_eval.tasks.mathvista", LMMS / "lmms_eval/tasks/mathvista")
stub("lmms_eval.llm_judge", Request=ask, ServerConfig=lambda **_: None, get_server=lambda **_: None)
tasks = LMMS / "lmms_eval/tasks"
lmms_vstar = load("lmms_vstar", tasks / "vstar_bench/utils.py")
lmms_mme = load("lmms_mme", tasks / "mme_realworld/utils.py")
lmms_hr_evals = load("lmms_eval.tasks.hrbench.hrbench_evals", tasks / "hrbench/hrbench_evals.py")
lmms_hr = load("lmms_hr", tasks / "hrbench/utils.py")
lmms_vista_evals = load("lmms_eval.tasks.mathvista.mathvista_evals", tasks / "mathvista/mathvista_evals.py")
lmms_vista = load("lmms_vista", tasks / "mathvista/utils.py")

# VLMEvalKit
package("vlmeval", KIT / "vlmeval")
package("vlmeval.smp", KIT / "vlmeval/smp")
package("vlmeval.dataset", KIT / "vlmeval/dataset")
log = logging.getLogger("kit")
stub("vlmeval.smp.log", get_logger=lambda *_: log)
kit_matching = load("vlmeval.utils.matching_util", KIT / "vlmeval/utils/matching_util.py")
stub("vlmeval.utils", can_infer=kit_matching.can_infer, can_infer_lego=kit_matching.can_infer_lego, track_progress_rich=None)
smp = dict.fromkeys("cn_string d2df dump get_pred_file_format istype load timestr".split(), None)
stub("vlmeval.smp", get_logger=lambda *_: log, **smp | {"cn_string": lambda _: False})
stub("vlmeval.smp.vlm", build_option_str=str)
stub("vlmeval.smp.file", load=None)
kit_choice = load("vlmeval.dataset.utils.multiple_choice", KIT / "vlmeval/dataset/utils/multiple_choice.py")
kit_vista = load("vlmeval.dataset.utils.mathvista", KIT / "vlmeval/dataset/utils/mathvista.py")
note(KIT / "vlmeval/dataset/image_mcq.py")

# The official scripts
mme_extract = function(MME / "evaluation/eval_your_results.py", "extract_characters_regex")
sys.path.insert(0, str(VISTA))
stub("utilities", read_json=None, save_json=None)
stub("models", gpt=None)
stub("openai", AzureOpenAI=None)
package("evaluation", VISTA / "evaluation")
package("evaluation.prompts", VISTA / "evaluation/prompts")
vista_score = load("vista_score", VISTA / "evaluation/calculate_score.py")
vista_extract = load("vista_extract", VISTA / "evaluation/extract_answer.py")
vista_query = load("vista_query", VISTA / "evaluation/build_query.py")


# ---- the responses ---------------------------------------------------------------------------------------------------
LETTERS = "ABCDE"
shapes = [
    "{}", " {} ", "{}.", "({})", "[{}]", "{})", "{}:", "**{}**", "\"{}\"", "'{}'", "{}\n", "\n\n{}", "{},", "{};", "<{}>",
    "({}) {t}", "{}. {t}", "{}: {t}", "{} - {t}", "{}) {t}", "**{}. {t}**", "Option {}", "option {}", "Choice {}",
    "Answer: {}", "answer: {}", "ANSWER: {}", "Answer: ({})", "Answer: **{}**", "Answer - {}", "Answer {}", "Final Answer: {}",
    "The answer is {}", "The answer is {}.", "The answer is: {}", "The answer is ({}).", "The answer is **{}**.", "the answer is {}",
    "The correct answer is {}.", "The best answer is {}", "The best answer is: {}", "The correct option is {}.", "The best option is {}.",
    "Best answer: {}", "Best option: {}", "The answer {}", "So the answer is {}.", "Therefore, the correct answer is ({}) {t}.",
    "Based on the image, the answer is {}.", "I think it is {}.", "I would choose {}.", "It must be {}, since nothing else fits.",
    "It is {t}.", "{t}", "{t}.", "The {t}", "The color of the thing is {t}.", "I can see that it is {t}, therefore {}.",
    "<answer>{}</answer>", "<answer> {} </answer>", "<answer>({}) {t}</answer>", "<answer>The answer is {}</answer>", "<answer>{t}</answer>",
    "<think>Maybe A or B</think><answer>{}</answer>", "<think>Let me look.</think>\n{}", "<think>It could be C.</think>\n\n<answer>{}</answer>",
    "\\boxed{{{}}}", "$\\boxed{{{}}}$", "\\boxed{{\\text{{{}}}}}", "The answer is \\boxed{{{}}}.", "### {}", "{}\n\nExplanation: a big picture.",
    "A red car is visible, so the answer is {}", "I considered A but the answer is {}", "Between B and D, I take {}.", "Not A, but {}.",
    "Looking at the picture from above, one can see that the thing in question is of this kind: {}", "答案是{}", "答案：{}", "（{}）", "{}。",
    "选项{}是正确的", "根据图像，最佳答案为 {}", "The answer is \"{t}\".", "The answer is \"{}\".", "the  answer   is   {}", "ANSWER IS {}",
]
TEXTS = {"A": "red", "B": "blue car", "C": "green", "D": "4", "E": "The image does not feature it"}
responses = [shape.format(letter, t=TEXTS[letter]) for shape in shapes for letter in ("A", "C", "D")]
responses += [letter.lower() for letter in LETTERS] + list(LETTERS)
responses += [
    "", " ", "\n", "none", "None of the above", "I don't know", "Z", "F", "H", "I", "yes", "Yes.", "no", "No, it is not.", "left", "A.",
    "A and B", "A, B", "(A) or (C)", "B or C", "Both A and D", "ABCD", "AB", "A B C D", "a b c d", "a", "a car", "A car", "A big red car.",
    "A photo of a man with a dog in front of a house near the beach.", "It depends on what you mean by it in this very picture here.",
    "it seems that there are many cars on the road but none of them has the number asked for", "LMMS_EVAL_REQUEST_FAILED",
    "[LMMS_EVAL_REQUEST_FAILED after 5 retries]", "Failed to obtain answer via API.", "Sorry, I can't help with images of people yet.",
    "I can't process this file.", "I'm sorry, but without the image provided", "Cannot determine the answer from this picture.", "Error", "E.",
    "error: time-out", "DEAD", "Bad", "CAB", "d)", "(d)", "[b", "c]", "C]", "{A}", "A\tB", "A\u00a0", "\u2003B\u2003", "A\x1c", "\ufeffA", "Ａ", "É", "ß", "ANSWER", "answer",
    "Answer", "Answer:", "THE CHOICE IS B", "the choice: d", "option: c", "OPTION\nB", "My answer\nis\nD", "Choice:\n\nC", "the option is   A",
    "red green", "red or green", "RED", "Green", "blue", "car", "the blue car", "blue  car", "4", "4.0", "four", "1", "0", "7", "07", "7.0", " 7 ", "7.5",
    "-7", "+7", "7 cm", "1e3", "1,000", "1_000", "0x7", "٣", "1.2", "1.20", "1.25", "1.249", "1.15", "2.675", "inf", "nan", "-0.0", "0.0", "1e-5", "1e16",
    "123456789012345678", "[1, 2]", "[1,2]", "[1.0, 2.0]", "1 and 2", "The answer is \"7\".", "The answer is \"1.2\".", "The answer is 7.", "7%", "$7",
    "(a)", "(x) red", "(b) is right", "x", "gren", "rde", "blue cat", "grean", "The image", "does not feature", "feature it", "the answer is **B**. Here's why: A is bigger",
    "B. C. D.", "A: B", "AA", "A-", "-A", "A/B", "A'", "I'm A", "A\r\nB", "{}", "[]", "()", "...", "?", "*", "#A", "A#", "answer is a", "answer is **b", "correct answer is  c",
    "The correct answer is\nD", "no answer is A or B", "The answer", "The answer is", "The best answer is", "Best answer:", "Best option: The correct option is C",
    "The best option isThe correct option is", "Best answer:Best option:", "The best option isThe correct option is D", "Best answer:Best option: B", "<answer>", "<answer></answer>", "<answer>\n</answer>", "<answer>a</answer>",
    "<answer>it is c</answer>", "<answer>none</answer>", "A<answer>B</answer><answer>C</answer>", "<answer>x\ny D</answer>", "<ANSWER>B</ANSWER>",
    "word " * 9 + "bcd", "word " * 11, "word " * 11 + "D", "word " * 11 + "d", "The thing is A " + "and so on " * 30, "x" * 400, "green " + "very " * 40,
    "C and then a b c d e f g", "a b c d e f g and then C", "A a b c", "A a b c d", "B a b c d", "B a b c d e",
]
responses = list(dict.fromkeys(responses))
assert len(responses) >= 300, len(responses)


# ---- the questions ---------------------------------------------------------------------------------------------------
def judged(call):
    try:
        return call()
    except Judge:
        return "judge"


CHOICES = [["red", "blue car", "green", "4"], ["yes", "no"], ["1.2", "7", "", "The answer is"], ["Red", "red car", "É", "ß"]]
MME_CHOICES = [["(A) red", "(B) blue car", "(C) green", "(D) 4", "(E) The image does not feature it"], ["(A) 1.2", "(B) none", "(C) left", "(D) É", "(E) the above answers are wrong"]]
VISTA_QUESTIONS = [
    dict(question_type="multi_choice", answer_type="text", choices=["red", "blue car", "green", "4"], precision=None, answer="green"),
    dict(question_type="multi_choice", answer_type="text", choices=["yes", "no"], precision=None, answer="no"),
    dict(question_type="multi_choice", answer_type="text", choices=["7", "1.2", "none", "x"], precision=None, answer="7"),
    dict(question_type="free_form", answer_type="integer", choices=None, precision=None, answer="7"),
    dict(question_type="free_form", answer_type="integer", choices=None, precision=None, answer="0"),
    dict(question_type="free_form", answer_type="float", choices=None, precision=1.0, answer="1.2"),
    dict(question_type="free_form", answer_type="float", choices=None, precision=2.0, answer="1.25"),
    dict(question_type="free_form", answer_type="float", choices=None, precision=2.0, answer="1e+16"),
    dict(question_type="free_form", answer_type="list", choices=None, precision=None, answer="[1, 2]"),
]


def lettered(choices):
    return {LETTERS[i]: text for i, text in enumerate(choices)}


def kit_letter(response, choices):
    got = kit_choice.extract_answer_from_item(None, {"prediction": str(response), "question": "", **lettered(choices)})
    return got["opt"]


evaluator = lmms_hr_evals.HRBenchEval("")
evaluator._post_request = ask


def lmms_hr_letter(response, choices):
    # One refused call of the judge is enough to see that it is asked.
    got = evaluator.get_chat_response({"question": "", "options": lettered(choices), "prediction": response.strip()}, patience=1)
    return got.get("gpt_prediction", "judge")


class Asked:
    def get_response(self, **_):
        raise Judge


def vista_official(response, q, quick):
    q = q | {"pid": "1", "query": "?", "choices": q["choices"] or []}
    marker = []

    class Model:
        def get_response(self, **_):
            marker.append(1)
            return ""

    extraction = vista_extract.extract_answer(Model(), response, q, quick)
    if marker:
        return ["judge", False]
    normal = vista_score.normalize_extracted_answer(extraction, q["choices"], q["question_type"], q["answer_type"], q["precision"])
    return [normal, vista_score.safe_equal(normal, q["answer"])]


def vista_lmms(response, q):
    q = q | {"pid": "1", "query": "?", "choices": q["choices"] or [], "metadata": {}}
    marker = []
    lmms_vista.mathvista_evaluator.get_chat_response = lambda *_, **__: marker.append(1) or ""
    got = lmms_vista.mathvista_process_results(q, [response])["submission"]
    return ["judge", False] if marker else [got["prediction"], got["true_false"]]


def vista_kit(response, q):
    line = q | {"prediction": response, "question": "?", "choices": str(q["choices"] or []), "answer_option": None}
    if q["choices"]:
        line["answer_option"] = LETTERS[q["choices"].index(q["answer"])]

    class Model:
        def generate(self, *_, **__):
            raise Judge

    got = judged(lambda: kit_vista.MathVista_auxeval(Model(), line))
    if got == "judge":
        return ["judge", False]
    return [str(got["res"]), bool(kit_vista.post_check(line | {"res": got["res"]}))]


def kit_mme_lines():
    """The lines of MMERealWorld.evaluate between a prediction and its letter, to be run from their source."""
    tree = ast.parse((KIT / "vlmeval/dataset/image_mcq.py").read_text())
    cls = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "MMERealWorld")
    run = next(n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == "evaluate")
    loop = next(n for n in ast.walk(run) if isinstance(n, ast.For))
    named = [n for n in loop.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
    keep = {n.targets[0].id: n for n in named if n.targets[0].id in ("match_pred", "pred", "extract_pred")}
    lines = [keep["match_pred"], keep["pred"], keep["extract_pred"]]
    return compile(ast.Module(lines, []), "image_mcq.py", "exec")


KIT_MME = kit_mme_lines()


def kit_mme(response):
    scope = {"re": re, "pred": response, "extract_characters_regex": kit_choice.extract_characters_regex}
    exec(KIT_MME, scope)
    return scope["extract_pred"]


golden = {
    "responses": responses,
    "vstar/lmms-eval": [lmms_vstar.extract_answer_letter(r) for r in responses],
    "mme-realworld/official": [[mme_extract(r, c) for r in responses] for c in MME_CHOICES],
    "mme-realworld/lmms-eval": [lmms_mme.extract_characters_regex(r) for r in responses],
    "mme-realworld/vlmevalkit": [kit_mme(r) for r in responses],
    "choice/vlmevalkit": [[kit_letter(r, c) for r in responses] for c in CHOICES],
    "hr-bench/lmms-eval": [[lmms_hr_letter(r, c) for r in responses] for c in CHOICES],
    "mathvista/official": [[vista_official(r, q, False) for r in responses] for q in VISTA_QUESTIONS],
    "mathvista/official-quick": [[vista_official(r, q, True) for r in responses] for q in VISTA_QUESTIONS],
    "mathvista/lmms-eval": [[vista_lmms(r, q) for r in responses] for q in VISTA_QUESTIONS],
    "mathvista/vlmevalkit": [[vista_kit(r, q) for r in responses] for q in VISTA_QUESTIONS],
    "choices": CHOICES,
    "mme_choices": MME_CHOICES,
    "vista_questions": VISTA_QUESTIONS,
}

# The prompts of the harnesses for the same questions.
vista_doc = {"question": "How many?", "unit": "cm", "query": "Q", "image": "i"}
post = {"post_prompt": "\nAnswer with the option's letter from the given choices directly."}
vista_args = {"shot_type": "format-prompt", "shot": 0, "use_caption": False, "use_ocr": False}
golden["prompts"] = {
    "vstar/lmms-eval": lmms_vstar.vstar_doc_to_text({"text": "What colour? (A) red (B) blue car (C) green (D) 4"}, post),
    "mme-realworld/lmms-eval": lmms_mme.mme_realworld_doc_to_text({"question": "What colour?", "multi-choice options": MME_CHOICES[0]}),
    "mme-realworld-cn/lmms-eval": lmms_mme.mme_realworld_cn_doc_to_text({"question": "What colour?", "multi-choice options": MME_CHOICES[0]}),
    "hr-bench-4k/lmms-eval": lmms_hr.hrbench_doc_to_text({"question": " What colour? ", **lettered(CHOICES[0])}),
    "mathvista/lmms-eval": [lmms_vista.mathvista_doc_to_text(vista_doc | q | {"choices": q["choices"] or []}, vista_args) for q in VISTA_QUESTIONS],
    # The published `query` is made so: the solution's hint first, no shot, and "Solution:" cut off at the end.
    "mathvista/official": [
        vista_query.create_one_query({"caption": "", "ocr": ""} | vista_doc | q | {"choices": q["choices"] or []}, [], 0, "solution", False, False)
        for q in VISTA_QUESTIONS
    ],
}
golden["sources"] = used
golden["versions"] = {"python": sys.version.split()[0], "pandas": pandas.__version__, "Levenshtein": Levenshtein.__version__}
if __name__ == "__main__":
    pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")))
    print(len(responses), "responses")
