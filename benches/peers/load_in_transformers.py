"""Loads model directories in transformers as a user would, and fails if anything is off.

    load_in_transformers.py DIR [DIR ...]

Per directory: no missing, unexpected or mismatched tensor; every tensor of the files is what the model holds; the
tokenizer round-trips text; a chat with a picture is rendered, tokenised, scored and continued. Tried with transformers
5.23.0, torch 2.15.0.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

TEXTS = ["Is the red circle left of the square? yes", "naïve café 北京 1234\n\n\t x", "don't   stop <|im_end|> now"]


def stored(path):
    tensors = {}
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, "pt") as f:
            assert f.metadata() == {"format": "pt"}, f.metadata()
            tensors |= {name: f.get_tensor(name) for name in f.keys()}
    return tensors


def bare(name):
    name = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
    return name


@torch.no_grad()
def check(path):
    model, info = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    problems = {key: value for key, value in info.items() if value}
    assert not problems, problems
    held = {bare(name): tensor for name, tensor in model.state_dict().items()}
    files = stored(path)
    assert all(torch.equal(held.pop(bare(name)), tensor) for name, tensor in files.items())
    assert set(held) <= {"lm_head.weight"}, held.keys()

    processor = AutoProcessor.from_pretrained(path)
    tokenizer = processor.tokenizer
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text, text
    rows = model.config.get_text_config().vocab_size
    assert len(tokenizer) < rows, (len(tokenizer), rows)

    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What color is the circle?"}]}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8))
    inputs = processor(text=[prompt], images=[image], return_tensors="pt")
    logits = model(**inputs).logits
    assert torch.isfinite(logits).all()
    count = int((inputs["input_ids"] == model.config.image_token_id).sum())
    out = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    generation = json.loads((path / "generation_config.json").read_text())
    assert model.generation_config.eos_token_id == generation["eos_token_id"]
    entropy = torch.distributions.Categorical(logits=logits[0, -1]).entropy().item()
    print(f"{path.name}: {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens, prompt of "
          f"{inputs['input_ids'].shape[1]} with {count} for the image, logit std {logits.std():.2f}, "
          f"entropy {entropy:.2f} of {np.log(rows):.2f}, continued with {out[0, -4:].tolist()}")
    print("   ", json.dumps(prompt))


for argument in sys.argv[1:]:
    check(pathlib.Path(argument))
