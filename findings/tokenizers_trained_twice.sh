#!/usr/bin/env bash
# A tokenizer trained twice on the same texts is two tokenizers: no seed, no threads, and yet other ids, and even other tokens.
#
# What     tokenizers 0.23.3, train_from_iterator on 24 class names, 20 times in one process, parallelism off: BPE, BPE with the suffix
#          "</w>" (CLIP's kind), WordPiece (BERT's kind)
# Expected one vocabulary of each kind: the algorithms have no chance in them, and the trainers take no seed
# Seen     plain BPE: one. BPE with "</w>": 20 of 20 differ in the ids of the same tokens. WordPiece: 20 of 20, with other tokens too: 13
#          of the class names are cut in several ways. Pieces marked as inside or at the end of a word get their ids in the order of a hash
#          table, and of equally frequent pairs the one of lower ids is merged
# Matters  a tokenizer that is trained anew from its published recipe does not fit saved weights of a text side, which look ids up: every
#          id is valid, so class names get vectors of other pieces and no error. A seeded run is not repeated either. Plain BPE
#          does not show it. Keep the trained file beside the weights, as part of the model: we read the one in the model's folder, and
#          an encoder's revision hashes it with the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq tokenizers==0.23.3
cd "$folder"
TOKENIZERS_PARALLELISM=false venv/bin/python - <<'PY'
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

names = """archery, baby crawling, balance beam, band marching, baseball pitch, basketball dunk, bench press, biking, billiards,
blow dry hair, blowing candles, body weight squats, bowling, boxing punching bag, breast stroke, brushing teeth, cliff diving,
cricket bowling, cutting in kitchen, drumming, fencing, field hockey penalty, floor gymnastics, golf swing""".replace("\n", " ")
names = [name.strip() for name in names.split(",")]
end = {"end_of_word_suffix": "</w>"}
kinds = {
    "BPE": (models.BPE, trainers.BpeTrainer, {}),
    "BPE </w>": (models.BPE, trainers.BpeTrainer, end),
    "WordPiece": (models.WordPiece, trainers.WordPieceTrainer, {}),
}


def trained(kind: str) -> Tokenizer:
    model, trainer, options = kinds[kind]
    tokenizer = Tokenizer(model(**options))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(names, trainer(vocab_size=80, show_progress=False, **options))
    return tokenizer


def different(kind: str) -> dict[str, int]:
    twenty = [trained(kind) for _ in range(20)]
    cut = [{tuple(t.encode(name).tokens) for t in twenty} for name in names]
    return {
        "vocabularies": len({tuple(sorted(t.get_vocab().items())) for t in twenty}),
        "sets of tokens": len({frozenset(t.get_vocab()) for t in twenty}),
        "names cut in several ways": sum(len(ways) > 1 for ways in cut),
    }


seen = {kind: different(kind) for kind in kinds}
print(f"tokenizers {tokenizers.__version__}, {len(names)} class names, 20 trainings each")
print("expected: 1 vocabulary of each kind")
for kind, counts in seen.items():
    print(f"seen: {kind}: {counts}")
assert seen["BPE"] == {"vocabularies": 1, "sets of tokens": 1, "names cut in several ways": 0}
changed = "the behaviour changed"
assert seen["BPE </w>"]["vocabularies"] > 1 and seen["WordPiece"]["vocabularies"] > 1, changed
assert seen["WordPiece"]["sets of tokens"] > 1 and seen["WordPiece"]["names cut in several ways"] > 1, changed
PY
