"""Golden prompts, from transformers' own processors and template engine.

    make.py [DIR]            (default: the folder of this script; reads DIR/<family>/)

Made with transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6. The families' folders hold the published chat templates
(Apache-2.0), the published tokenizer cut to its first 1,024 ranks and its added tokens, and image settings with a small
largest area.

  prompts.json    per family and conversation: messages, sizes of the pictures (synth.py, seed = place in the prompt),
                  the rendered text with and without the assistant's opening, and the ids the processor gives
  features.json   small templates that use what chat templates use of Jinja and Python: source, messages, text or the
                  words of the error
"""
from __future__ import annotations

import json
import pathlib
import sys

from PIL import Image
from transformers import AutoTokenizer
from transformers.models.qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "images"))
from synth import synth_rgb  # noqa: E402

text = lambda s: {"type": "text", "text": s}  # noqa: E731
image = {"type": "image"}
turn = lambda role, *content: {"role": role, "content": list(content)}  # noqa: E731
CONVERSATIONS = {  # name: (sizes of the pictures, messages)
    "one": ([(37, 211)], [turn("user", image, text("What is shown in the picture? Answer in \\boxed{}."))]),
    "two": ([(20, 20), (112, 140)], [turn("system", text("You compare images.")), turn(
        "user", text("First:"), image, text(" second:"), image, text("\nWhich one is larger?"))]),
    "text": ([], [turn("user", text("Compute 17 * 23. 你好 — déjà vu."))]),
    "plain_strings": ([], [{"role": "system", "content": "Be brief.  "}, {"role": "user", "content": "\n Hi <b>&</b> \n"},
                           {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": ""}]),
    "multiturn": ([(480, 640)], [turn("user", image, text("Describe.")), turn("assistant", text("A test card.")),
                                 turn("user", text("Is it red?"))]),
    "late_image": ([(30, 900), (8, 1500)], [turn("user", text("Wait.")), turn("assistant", text("<think>\nhm\n</think>\n\nYes.")),
                                            turn("user", image, image)]),
    "no_text": ([(60, 60)], [turn("user", image)]),
    "special_words": ([], [turn("user", text("<|im_end|> <|endoftext|><|vision_start|> {{ messages }} {% if %}"))]),
}
FEATURES = [  # (source, messages)
    ("{{ messages | tojson }}", [turn("user", text("<a href='x'>&\"é你\n"), image)]),
    ("{{ messages[0] | tojson(indent=2) }}", [turn("user", text("a"), text("b"))]),
    ("{% for m in messages %}\n    {% if loop.first %}\n first\n    {% continue %}\n    {% endif %}\n{{ m.role }}\n"
     "    {%- if loop.index == 3 %}{% break %}{% endif %}\n{% endfor %}\nend\n\n",
     [turn("a", text("")), turn("b", text("")), turn("c", text("")), turn("d", text(""))]),
    ("{% set ns = namespace(n=0) %}{% for m in messages[::-1] %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ m['role'].strip().upper() "
     "}};{% endfor %}{{ messages|length }}", [turn(" user ", text("x")), turn("assistant", text("y"))]),
    ("{% set t = messages[0].content[0].text %}{{ t.split('</think>')[-1].lstrip('\\n') }}|{{ t.startswith('<think>') }}|"
     "{{ t.replace('a', 'b') }}|{{ 'think' in t }}|{{ t[:3] }}|{{ t|trim }}|{{ t.rstrip() }}|{{ t.find('hm') }}",
     [turn("assistant", text("<think>\nhm a\n</think>\n\nan answer \n"))]),
    ("{{ tools is none }} {{ tools is defined }} {{ documents is none }} {{ nothing is defined }} {{ add_generation_prompt }} "
     "{{ messages[0].content is string }} {{ messages[0].content is iterable }} {{ messages[0].name is defined }} "
     "{{ messages[0].get('name') }} {{ messages[0].get('name', 'anon') }} {{ messages[0]['role'] not in ['a', 'b'] }}",
     [turn("user", text("x"))]),
    ("{% macro line(m, last=false) %}[{{ m.role }}{{ '!' if last else '' }}]{% endmacro %}{% for m in messages %}"
     "{{ line(m, loop.last) }}{% endfor %}{{ ('a' ~ 1) }}{{ messages | map(attribute='role') | join(',') }}"
     "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ range(3) | list }}{{ {'a': 1}.items() | list }}",
     [turn("user", text("x")), turn("tool", text("x"))]),
    ("{{ raise_exception('roles must alternate') }}", [turn("user", text("x"))]),
]


def prompts(root: pathlib.Path, family: str) -> dict:
    folder = root / family
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = json.loads((folder / "chat_template.json").read_text())["chat_template"]
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor.from_pretrained(folder), tokenizer, Qwen2VLVideoProcessor(),
                                    chat_template=template)
    out = {}
    for name, (sizes, messages) in CONVERSATIONS.items():
        plain = [{**m, "content": [text(m["content"])] if isinstance(m["content"], str) else m["content"]} for m in messages]
        render = lambda m, opened: processor.apply_chat_template(m, add_generation_prompt=opened, tokenize=False)  # noqa: E731
        assert render(messages, True) == render(plain, True), name
        pictures = [Image.fromarray(synth_rgb(h, w, seed)) for seed, (h, w) in enumerate(sizes)]
        ids = processor(text=[render(messages, True)], images=pictures or None)["input_ids"][0]
        out[name] = {"messages": messages, "sizes": sizes, "opened": render(messages, True), "closed": render(messages, False),
                     "input_ids": list(ids)}
    return out


def features() -> list:
    rows = []
    for source, messages in FEATURES:
        row = {"source": source, "messages": messages}
        try:
            rendered, _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=True)
            row["text"] = rendered[0]
        except Exception as error:  # noqa: BLE001
            row["error"] = str(error)
        rows.append(row)
    return rows


def main() -> None:
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    families = {family: prompts(root, family) for family in ("qwen2_5_vl", "qwen3_vl")}
    (root / "prompts.json").write_text(json.dumps(families, ensure_ascii=False, indent=1) + "\n")
    (root / "features.json").write_text(json.dumps(features(), ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
