"""What transformers makes of the tiny models: tensor names, token ids, rendered chats.

    for name in qwen2_vl qwen2_5_vl qwen3_vl quickstart; do
        cargo run -p foveate-vision --example tiny -- $name DIR/$name
    done
    make.py DIR        (writes beside itself)

Made with transformers 5.23.0, torch 2.15.0, trl 1.16.0 (for the published chat templates, which it ships).
NAME.config.json is the tiny model's config, NAME.names.json the tensors that transformers saves for it; chats.json holds
chats as the published templates render them, tokens.json texts as the quickstart's tokenizer cuts them.
"""
import json
import pathlib
import shutil
import sys
import tempfile

import trl
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
ROOT = pathlib.Path(sys.argv[1])
TEMPLATES = pathlib.Path(trl.__file__).parent / "chat_templates"
FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
IMAGE, VIDEO = {"type": "image"}, {"type": "video"}
CHATS = [
    [{"role": "user", "content": "Hi <there>"}],
    [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What color is the circle?\n"}]}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": " a "}, IMAGE, IMAGE]},
     {"role": "assistant", "content": "red"}, {"role": "user", "content": [{"image": "x.png"}, {"type": "text", "text": "b"}]}],
    [{"role": "system", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
     {"role": "user", "content": [VIDEO, {"type": "text", "text": "film & \"text\""}]},
     {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}],
]
TEXTS = [
    "", " ", "What color is the circle?", "Is the red shape on the left or right? yes", "noon on no none", "bottommost",
    "it's They'RE 12345 3.14", "\n\n  \ta\r\nb ", "naïve café", "北京 Ünïcødé 🙂", "<|im_start|>user\nhi<|im_end|>\n",
    "<|vision_start|><|image_pad|><|vision_end|>", "circle.square,triangle", "  circle", "e\u0301", "<think>no</think>",
]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")


def saved_names(config):
    with tempfile.TemporaryDirectory() as out:
        AutoModelForImageTextToText.from_config(config).save_pretrained(out)
        with safe_open(pathlib.Path(out) / "model.safetensors", "pt") as f:
            return {name: f.get_slice(name).get_shape() for name in sorted(f.keys())}


chats = []
for family in FAMILIES:
    shutil.copy(ROOT / family / "config.json", HERE / f"{family}.config.json")
    write(f"{family}.names.json", saved_names(AutoConfig.from_pretrained(ROOT / family)))
    tokenizer = AutoTokenizer.from_pretrained(ROOT / family)
    published = (TEMPLATES / ("qwen3_vl.jinja" if family == "qwen3_vl" else "qwen2_5_vl.jinja")).read_text()
    for messages in CHATS:
        for options in {"add_generation_prompt": True}, {"add_generation_prompt": False, "add_vision_id": True}:
            want = tokenizer.apply_chat_template(messages, chat_template=published, tokenize=False, **options)
            assert tokenizer.apply_chat_template(messages, tokenize=False, **options) == want, (family, messages)
            chats.append({"family": family, "messages": messages, "options": options, "text": want})
write("chats.json", chats)
tokenizer = AutoTokenizer.from_pretrained(ROOT / "quickstart")
write("tokens.json", [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS])
