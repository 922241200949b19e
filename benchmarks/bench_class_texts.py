"""Class texts: the first reading of 1,100 of them, the same from the cache, a plain loop over single texts, and looking for faults in them.

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
    lists = [
        class_list(dataset)
        for dataset in ("ucf101", "hmdb51", "activitynet", "kinetics400", "kinetics600", "kinetics700")
    ]
    lists.append(pd.read_csv(Path(__file__).parents[1] / "data" / "demo" / "classes.csv"))
    classes = pd.concat(lists).drop_duplicates("description").head(N_TEXTS)
    text = class_text(
        classes.assign(name=[f"{number} {name}" for number, name in enumerate(classes["name"])]),
        label_and_description,
    )
    files = find_encoder()
    with tempfile.TemporaryDirectory() as folder:
        first = timed(lambda: embed_class_text(text, files, Path(folder)))
        again = timed(lambda: embed_class_text(text, files, Path(folder)))
        embed = functools.partial(embed_class_text, files=files, folder=Path(folder))
        labels = dict(zip(text.names, label(classes), strict=True))
        embeddings = embed(text)
        flags_of(text, labels, embed)  # reads labels and descriptions alone
        flags = timed(lambda: flags_of(text, labels, embed))
        overview = timed(lambda: text_overview(embeddings, labels, open_encoder(files)))
    encoder = TextEncoder(files)
    encoder.encode(["warm up"])
    alone = (
        timed(lambda: [encoder.encode([line]) for line in text.texts[:N_ALONE]]) * len(text.texts) / N_ALONE
    )
    print(f"{len(text.texts)} class texts ('label: description'), {files}")
    print(f"first time, loading the encoder included  {first:7.2f} s   (target: under 20)")
    print(
        f"from the cache                            {again:7.2f} s   (target: under 0.5)   {first / again:6.0f} x faster"
    )
    print(
        f"one by one ({N_ALONE} measured, scaled)          {alone:7.2f} s   {alone / first:6.1f} x slower than in batches"
    )
    print(f"flags of all of them, texts embedded      {flags:7.2f} s")
    print(f"overview (words, lengths, nearest)        {overview:7.2f} s")


def timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
