"""Class texts: reading 1,100 of them, the same from the cache, one by one, and looking for faults.

python benchmarks/bench_class_texts.py
"""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path

import pandas as pd

from zsar_lab.data.datasets import class_list
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder import TextEncoder, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import flags_of, text_overview
from zsar_lab.text.prompts import class_text, label, label_and_description

N_TEXTS, N_ALONE = 1100, 100


def main() -> None:
    datasets = ("ucf101", "hmdb51", "activitynet", "kinetics400", "kinetics600", "kinetics700")
    demo = pd.read_csv(Path(__file__).parents[1] / "data" / "demo" / "classes.csv")
    classes = pd.concat([*map(class_list, datasets), demo]).drop_duplicates("description").head(N_TEXTS)
    numbered = classes.assign(name=[f"{number} {name}" for number, name in enumerate(classes["name"])])
    text, files = class_text(numbered, label_and_description), find_encoder()
    labels = dict(zip(text.names, label(classes), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        embed = functools.partial(embed_class_text, files=files, folder=Path(folder))
        first, again = (timed(lambda: embed(text)) for _ in range(2))
        flags_of(text, labels, embed)  # reads labels and descriptions alone
        flags = timed(lambda: flags_of(text, labels, embed))
        embeddings = embed(text)
        overview = timed(lambda: text_overview(embeddings, labels, open_encoder(files)))
    encoder = TextEncoder(files)
    encoder.encode(["warm up"])
    few = timed(lambda: [encoder.encode([line]) for line in text.texts[:N_ALONE]])
    alone = few * len(text.texts) / N_ALONE
    print(f"{len(text.texts)} class texts ('label: description'), {files}")
    print(f"first time, loading the encoder included  {first:7.2f} s   (target: under 20)")
    print(f"from the cache   (target: under 0.5)      {again:7.2f} s   {first / again:6.0f} x faster")
    print(f"one by one ({N_ALONE} measured, scaled)          {alone:7.2f} s   {alone / first:6.1f} x slower")
    print(f"flags of all of them, texts embedded      {flags:7.2f} s")
    print(f"overview (words, lengths, nearest)        {overview:7.2f} s")


def timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
