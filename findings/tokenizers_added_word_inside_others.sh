#!/usr/bin/env bash
# A class name added to a tokenizer is found inside other words: with "ski" added, "skipping rope" begins with skiing.
#
# What     tokenizers 0.23.3, `tokenizer.add_tokens(["ski", "run"])` of a WordPiece tokenizer that knows "skipping" and "running"
# Expected the names become tokens where they stand as words; "skipping rope" stays "skipping", "rope"
# Seen     "ski", "[UNK]", "rope"; "running" is "run", "[UNK]". Added tokens are cut out of the text before it is split into words.
#          `AddedToken("ski", single_word=True)` finds words only
# Matters  class names, prompts' slots and words like "backflip" are added so that they get a vector of their own. Other class
#          names then share it, and the rest of their word is unknown; no error, and the added names themselves look right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq tokenizers==0.23.3
cd "$folder"
venv/bin/python - <<'PY'
import tokenizers
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

words = ["[UNK]", "skipping", "rope", "running", "on", "snow"]
texts = ["skipping rope", "running on snow", "ski on snow"]


def tokens(*added):
    tokenizer = Tokenizer(WordPiece({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_tokens(list(added))
    return [tokenizer.encode(text).tokens for text in texts]


before, seen = tokens(), tokens("ski", "run")
single = tokens(AddedToken("ski", single_word=True), AddedToken("run", single_word=True))
print(f"tokenizers {tokenizers.__version__}")
print(f"expected: {single}")
print(f"seen: {seen}")
assert before[:2] == single[:2] == [["skipping", "rope"], ["running", "on", "snow"]]
assert single[2] == seen[2] == ["ski", "on", "snow"]
assert seen[:2] == [["ski", "[UNK]", "rope"], ["run", "[UNK]", "on", "snow"]], "the behaviour changed"
PY
