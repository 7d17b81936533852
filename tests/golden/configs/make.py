"""Writes config.json in every spelling that exists, and what transformers makes of each: the oracle of the config reader.

    make.py        (writes beside itself; torch is not needed)

Made with transformers 5.23.0. Per case NAME: NAME.json is the file; NAME.want.json holds the values that
`AutoConfig` gives, under this crate's field names. `*.published` is laid out as the published checkpoints are, `*.saved`
is what `save_pretrained` of transformers 5 makes of the same model, `*.sparse` leaves to the defaults whatever it can.
"""
import json
import pathlib
import tempfile

from transformers import AutoConfig

HERE = pathlib.Path(__file__).resolve().parent
IDS = {"image_token_id": 1036, "video_token_id": 1037, "vision_start_token_id": 1033, "vision_end_token_id": 1034}


def qwen2_family(model_type, arch, vision, tie):
    return {
        "architectures": [arch], "attention_dropout": 0.0, "bos_token_id": 1024, "eos_token_id": 1026, **IDS,
        "vision_token_id": 1035, "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
        "intermediate_size": 128, "max_position_embeddings": 4096, "max_window_layers": 4, "model_type": model_type,
        "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 4096, "tie_word_embeddings": tie, "torch_dtype": "bfloat16",
        "transformers_version": "4.49.0", "use_cache": True, "use_sliding_window": False, "vision_config": vision,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "vocab_size": 1088,
    }


VISION_2_5 = {"depth": 5, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 52, "num_heads": 4, "in_chans": 3,
              "out_hidden_size": 64, "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14,
              "window_size": 112, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2, "temporal_patch_size": 2}
VISION_2 = {"depth": 4, "embed_dim": 32, "mlp_ratio": 2, "num_heads": 4, "in_chans": 3, "hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2}
QWEN3 = {
    "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", **IDS, "tie_word_embeddings": True,
    "transformers_version": "4.57.0.dev0",
    "text_config": {
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1024, "dtype": "bfloat16",
        "eos_token_id": 1026, "head_dim": 32, "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
        "intermediate_size": 128, "max_position_embeddings": 4096, "model_type": "qwen3_vl_text",
        "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [6, 5, 5], "rope_type": "default"},
        "rope_theta": 5000000, "tie_word_embeddings": True, "use_cache": True, "vocab_size": 1088},
    "vision_config": {
        "deepstack_visual_indexes": [0, 2, 3], "depth": 5, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 32,
        "in_channels": 3, "initializer_range": 0.02, "intermediate_size": 52, "model_type": "qwen3_vl", "num_heads": 4,
        "num_position_embeddings": 144, "out_hidden_size": 64, "patch_size": 16, "spatial_merge_size": 2,
        "temporal_patch_size": 2},
}
PUBLISHED = {
    "qwen2_vl": qwen2_family("qwen2_vl", "Qwen2VLForConditionalGeneration", VISION_2, True),
    "qwen2_5_vl": qwen2_family("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", VISION_2_5, False),
    "qwen3_vl": QWEN3,
}
# Only what does not fit by default: the towers' widths differ, and the widths of heads must suit the M-RoPE sections.
SPARSE = {
    "qwen2_vl": {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_size": 3584,
                 "num_attention_heads": 28, "num_key_value_heads": 4, "vision_config": {}},
    "qwen2_5_vl": {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
                   "vision_config": {"out_hidden_size": 8192}, "rope_theta": 500.0},
    "qwen3_vl": {"model_type": "qwen3_vl", "text_config": {"hidden_size": 3584}, "vision_config": {}},
}


def want(config):
    t, v = config.text_config, config.vision_config
    kind, rope = config.model_type, config.text_config.rope_parameters
    old, new = kind == "qwen2_vl", kind == "qwen3_vl"
    return {
        "text": {
            "vocab_size": t.vocab_size, "hidden_size": t.hidden_size, "intermediate_size": t.intermediate_size,
            "layers": t.num_hidden_layers, "heads": t.num_attention_heads, "kv_heads": t.num_key_value_heads,
            # as each family's attention takes it
            "head_dim": t.head_dim if new else t.hidden_size // t.num_attention_heads, "norm_eps": t.rms_norm_eps,
            "rope_theta": rope["rope_theta"],
            "mrope_section": rope.get("mrope_section", [24, 20, 20] if new else [16, 24, 24]),
            "mrope_interleaved": new, "tied": config.tie_word_embeddings,
            "max_position_embeddings": t.max_position_embeddings},
        "vision": {
            "depth": v.depth, "hidden_size": v.embed_dim if old else v.hidden_size,
            "intermediate_size": v.embed_dim * v.mlp_ratio if old else v.intermediate_size, "heads": v.num_heads,
            "channels": v.in_channels, "patch_size": v.patch_size, "temporal_patch_size": v.temporal_patch_size,
            "merge_size": v.spatial_merge_size, "out_hidden_size": v.hidden_size if old else v.out_hidden_size,
            "window_size": getattr(v, "window_size", None),
            "full_attention_blocks": list(getattr(v, "fullatt_block_indexes", [])),
            "deepstack_blocks": list(getattr(v, "deepstack_visual_indexes", [])),
            "position_embeddings": getattr(v, "num_position_embeddings", None)},
        **{k: getattr(config, k) for k in IDS},
    }


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


def read(value):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "config.json").write_text(json.dumps(value))
        config = AutoConfig.from_pretrained(path)
        config.save_pretrained(path)
        return config, json.loads((path / "config.json").read_text())


for family in PUBLISHED:
    config, saved = read(PUBLISHED[family])
    again, _ = read(saved)
    assert want(again) == want(config), family
    for spelling, value in ("published", PUBLISHED[family]), ("saved", saved), ("sparse", SPARSE[family]):
        write(f"{family}.{spelling}.json", value)
        write(f"{family}.{spelling}.want.json", want(read(value)[0]))
