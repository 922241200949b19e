#!/usr/bin/env bash
# VideoPrism's text side in transformers reads to the left with a mask of ones, and both ways without a mask: one text, two vectors.
#
# What     transformers 5.23.0, VideoPrismTextModel with input_ids alone, nothing padded, and with an attention mask of ones
# Expected the same vector: where nothing is padded, a mask of ones says nothing, and may be left out as in CLIP's text side
# Seen     cosine 0.985 between the two with random weights, 1 for CLIP. Without a mask the first tokens change with the last one (cosine
#          0.980): the causal mask is made out of the given one, and left out with it. With a mask they do not change, and padding is right
# Matters  SigLIP is asked with ids alone, by its authors' advice, and the argument is optional here too: class names asked that way get
#          vectors of another model than the published one, all of them alike, so that nothing looks wrong but the accuracy. Give the
#          mask, also to texts of one length; we do, to every model that takes one.
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
sizes |= {"vocab_size": 50, "max_position_embeddings": 12, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1}
text, other = torch.tensor([[5, 9, 7, 23, 1]]), torch.tensor([[5, 9, 7, 24, 1]])  # a text and its end; another last word
ones = torch.ones_like(text)
padded = torch.nn.functional.pad(text, (0, 3)), torch.nn.functional.pad(ones, (0, 3))


def cosines(kind: str) -> dict[str, float]:
    torch.manual_seed(0)
    model = getattr(t, f"{kind}TextModel")(getattr(t, f"{kind}TextConfig")(**sizes)).eval()

    def cosine(one: torch.Tensor, two: torch.Tensor) -> float:
        return round(torch.nn.functional.cosine_similarity(one, two, dim=-1).min().item(), 4)

    def first(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :3]

    def vector(ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return model(input_ids=ids, attention_mask=mask).pooler_output

    with torch.inference_mode():
        return {
            "no mask, ones": cosine(vector(text, None), vector(text, ones)),
            "ones, padded": cosine(vector(text, ones), vector(*padded)),
            "first words beside another last, no mask": cosine(first(text, None), first(other, None)),
            "first words beside another last, ones": cosine(first(text, ones), first(other, ones)),
        }


seen = {kind: cosines(kind) for kind in ("CLIP", "VideoPrism")}
print(f"transformers {t.__version__}, torch {torch.__version__}")
print("expected: cosine 1 four times, for both")
for kind, each in seen.items():
    print(f"seen: {kind}: {each}")
*_, with_mask = seen["VideoPrism"].values()
assert all(value == 1 for value in seen["CLIP"].values()) and seen["VideoPrism"]["ones, padded"] == with_mask == 1
assert seen["VideoPrism"]["no mask, ones"] < 0.995, "the behaviour changed"
assert seen["VideoPrism"]["first words beside another last, no mask"] < 0.995, "the behaviour changed"
PY
