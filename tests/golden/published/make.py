"""Writes the sizes of the published Qwen-VL models as config.json files, and how many parameters transformers gives them.

    python make.py          (writes NAME.json and expect.json beside itself; a minute, no weights)

The numbers below are those of the models' own config.json on the hub, under
https://huggingface.co/Qwen/NAME-Instruct (October 2025); fields that are the same in all of a family, or that no size
depends on, are written once. `expect.json` has the parameters of each part as transformers builds the model on its
`meta` device; their sum is what the hub shows as the size of the checkpoint. Made with: see `versions`.
"""
import json
import pathlib

import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText

HERE = pathlib.Path(__file__).resolve().parent
IDS = {"image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652, "vision_end_token_id": 151653}


def qwen2(arch, model_type, sizes, vision):
    hidden, inner, layers, heads, kv, vocab, tied = sizes
    return {
        "architectures": [arch], "model_type": model_type, **IDS, "hidden_act": "silu", "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "vocab_size": vocab, "tie_word_embeddings": tied, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "max_position_embeddings": 32768 if model_type == "qwen2_vl" else 128000,
        "use_sliding_window": False, "torch_dtype": "bfloat16",
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, "vision_config": vision,
    }


def qwen2_5(sizes, inner=3420):
    vision = {
        "depth": 32, "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": inner, "num_heads": 16,
        "in_chans": 3, "out_hidden_size": sizes[0], "patch_size": 14, "spatial_merge_size": 2,
        "spatial_patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2, "temporal_patch_size": 2,
    }
    return qwen2("Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", sizes, vision)


def qwen3(sizes, tower):
    hidden, inner, layers, heads, kv, tied = sizes
    width, tower_inner, depth, stack = tower
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", **IDS,
        "tie_word_embeddings": tied,
        "text_config": {
            "attention_bias": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": hidden,
            "intermediate_size": inner, "max_position_embeddings": 262144, "model_type": "qwen3_vl_text",
            "num_attention_heads": heads, "num_hidden_layers": layers, "num_key_value_heads": kv,
            "rms_norm_eps": 1e-06, "rope_theta": 5000000, "tie_word_embeddings": tied, "vocab_size": 151936,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        },
        "vision_config": {
            "deepstack_visual_indexes": stack, "depth": depth, "hidden_act": "gelu_pytorch_tanh", "hidden_size": width,
            "in_channels": 3, "intermediate_size": tower_inner, "model_type": "qwen3_vl", "num_heads": 16,
            "num_position_embeddings": 2304, "out_hidden_size": hidden, "patch_size": 16, "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    }


VISION_2 = {
    "depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3, "hidden_size": 1536,
    "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2,
}
SMALL, LARGE = (1024, 4096, 24, [5, 11, 17]), (1152, 4304, 27, [8, 16, 24])
MODELS = {
    "Qwen2-VL-2B": qwen2("Qwen2VLForConditionalGeneration", "qwen2_vl", (1536, 8960, 28, 12, 2, 151936, True), VISION_2),
    "Qwen2.5-VL-3B": qwen2_5((2048, 11008, 36, 16, 2, 151936, True)),
    "Qwen2.5-VL-7B": qwen2_5((3584, 18944, 28, 28, 4, 152064, False)),
    "Qwen2.5-VL-32B": qwen2_5((5120, 27648, 64, 40, 8, 152064, False), inner=3456),
    "Qwen3-VL-2B": qwen3((2048, 6144, 28, 16, 8, True), SMALL),
    "Qwen3-VL-8B": qwen3((4096, 12288, 36, 32, 8, False), LARGE),
    "Qwen3-VL-32B": qwen3((5120, 25600, 64, 64, 8, False), LARGE),
}
PIXELS = {
    "Qwen2-VL-2B": (3136, 12845056), "Qwen2.5-VL-3B": (3136, 12845056), "Qwen2.5-VL-7B": (3136, 12845056),
    "Qwen2.5-VL-32B": (3136, 12845056),
    "Qwen3-VL-2B": (65536, 16777216), "Qwen3-VL-8B": (65536, 16777216), "Qwen3-VL-32B": (65536, 16777216),
}
expect = {"versions": {"transformers": transformers.__version__, "torch": torch.__version__}, "models": {}}
for name, config in MODELS.items():
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    least, most = PIXELS[name]
    side = config["vision_config"]["patch_size"]
    processor = {
        "image_processor_type": "Qwen2VLImageProcessorFast" if side == 16 else "Qwen2VLImageProcessor",
        "min_pixels": least, "max_pixels": most, "patch_size": side, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [0.5] * 3 if side == 16 else [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.5] * 3 if side == 16 else [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n")
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    seen = {id(p): (n, p.numel()) for n, p in model.named_parameters()}
    count = lambda keep: sum(numel for n, numel in seen.values() if keep(n))
    merger = lambda n: "visual" in n and "merger" in n
    expect["models"][name] = {
        "vision": count(lambda n: "visual" in n and not merger(n)), "merger": count(merger),
        "text": count(lambda n: "visual" not in n), "all": count(lambda n: True),
    }
    print(name, expect["models"][name])
(HERE / "expect.json").write_text(json.dumps(expect, indent=1) + "\n")
