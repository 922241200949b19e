#!/usr/bin/env bash
# AIMv2's text side in transformers reads ahead in a batch without padding, and does not in one with: one text, two vectors.
#
# What     transformers 5.23.0, Aimv2Model.get_text_features with the tokenizer's ids and attention mask, the usual attention (sdpa)
# Expected the same vector for a text alone, where the mask is all ones, and beside a longer one, where it is padded behind
# Seen     cosines below 0.999 between the two with random weights; equal with attn_implementation="eager". The causal mask is left out where
#          nothing is padded, and this model does not ask sdpa for a causal one instead. CLIP's text side gives one vector, in both ways
# Matters  class names are embedded in batches: the vector of a class then depends on which names stand beside it, and a classifier of names
#          of one length is another one than of the same names and a longer one. No warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import torch
import transformers as t

sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
text = sizes | {"vocab_size": 50, "max_position_embeddings": 12, "eos_token_id": 1, "initializer_range": 0.3}
vision = sizes | {"image_size": 32, "patch_size": 16}
ids = torch.tensor([[5, 9, 7, 23, 1]])  # a text and its end
padded = torch.nn.functional.pad(ids, (0, 3), value=1), torch.tensor([[1] * 5 + [0] * 3])


def cosine(kind: str, attention: str) -> float:
    torch.manual_seed(0)
    config = getattr(t, f"{kind}Config")(text_config=text, vision_config=vision, projection_dim=16)
    model = getattr(t, f"{kind}Model")._from_config(config, attn_implementation=attention).eval()
    with torch.inference_mode():
        alone = model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        beside = model.get_text_features(input_ids=padded[0], attention_mask=padded[1]).pooler_output
    return round(torch.nn.functional.cosine_similarity(alone, beside).item(), 5)


seen = {(kind, by): cosine(kind, by) for kind in ("CLIP", "Aimv2") for by in ("sdpa", "eager")}
print(f"transformers {t.__version__}, torch {torch.__version__}")
print("expected: cosine 1 between a text alone and the same text padded")
print(f"seen: {seen}")
assert seen["CLIP", "sdpa"] == seen["CLIP", "eager"] == seen["Aimv2", "eager"] == 1
assert seen["Aimv2", "sdpa"] < 0.999, "the behaviour changed"
PY
