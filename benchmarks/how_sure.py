"""Names that a model was trained on beside new ones: what is right, and what of "sure" is, before and after.

    python benchmarks/how_sure.py FIGURE.svg WORKSPACE [WORKSPACE ...]

Needs finished demos (make demo; docs/demo.md has the command of runs/table). Half of the held-out clips of
seen classes calibrate beside the validation classes; the other half and the clips of unseen ones, which chose
nothing, are predicted. Before: no gamma, and one confidence at which 80 % are right on random subsets of the
validation classes."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import zsar_lab as zl
from zsar_lab.infer.classifier import NONE_OF_THESE
from zsar_lab.infer.export import embed_frames, export_split
from zsar_lab.infer.model import TrainedModel
from zsar_lab.infer.patterns import KINDS, patterns_of
from zsar_lab.methods.clips import ClipGroup, nearest_scores
from zsar_lab.results.calibration import confidences
from zsar_lab.results.generalised import harmonic_mean, seen_unseen_curve
from zsar_lab.results.predictions import halves
from zsar_lab.viz.figures import save_figure, style

NAMES, SHARES, REPEATS, SHARE_RIGHT = (3, 5, 10, 20), (0.0, 0.2, 0.4, 0.6, 0.8), 3, 0.8


def before_level(points_VD, held_out, n_names: int, temperature: float) -> float:
    """The confidence at which 80 % were right on 40 random halves of the validation classes."""
    rng, clips, n_classes = np.random.default_rng(0), held_out.targets_E >= held_out.n_seen, len(points_VD)
    scores_BV = nearest_scores(held_out.embedding_ED[clips].astype(float), points_VD)
    targets_B, found = held_out.targets_E[clips] - held_out.n_seen, []
    for _ in range(40):
        chosen = rng.permutation(n_classes)[: min(n_names, n_classes // 2)]
        own = np.isin(targets_B, chosen)
        scores = scores_BV[own][:, chosen]
        right = chosen[scores.argmax(1)] == targets_B[own]
        found.append(pd.DataFrame({"sure": confidences(scores, temperature).max(1), "right": right}))
    down_to = pd.concat(found).groupby("sure")["right"].agg(["sum", "size"])[::-1].cumsum()
    enough = down_to.index[down_to["sum"] / down_to["size"] >= SHARE_RIGHT]
    return float(min(enough, default=np.inf))


def figures_of(predicted, sure, targets, is_trained_C) -> dict[str, float]:
    """Means over classes: accuracy on trained and new names, H, share that is sure, and right among those."""
    rows = pd.DataFrame({"class": targets, "right": predicted == targets, "sure": sure})
    rows["sure_right"] = rows["sure"] & rows["right"]
    of_class = rows.groupby("class").mean()
    trained = is_trained_C[of_class.index]
    new = of_class["right"][~trained].mean()
    seen = of_class["right"][trained].mean() if trained.any() else np.nan
    h = float(harmonic_mean(seen, new)) if trained.any() else new
    kept = {"sure": of_class["sure"].mean(), "sure_right": of_class["sure_right"].mean()}
    return {"trained": seen, "new": new, "H": h, **kept}


def mixes(workspace, split: str) -> tuple[list[dict], list[dict]]:
    """A row a mix, prompt and side (before, after); and a row a mix and kind of clip of none of the names."""
    protocol, shared = workspace.protocol(split), export_split(workspace, split)
    held_out, classes = shared.held_out, workspace.catalog.classes.set_index("name", drop=False)
    of_seen = held_out.targets_E < held_out.n_seen
    second = of_seen & np.append(halves(held_out.targets_E[of_seen]), np.zeros((~of_seen).sum())).astype(bool)
    kept = {"held_out": held_out.embedding_ED[~second], "targets": held_out.targets_E[~second]}
    model = TrainedModel(
        replace(shared, arrays={**shared.arrays, **kept}), cache=workspace.folder / "class_text"
    )
    test = ClipGroup.of(workspace.embeddings(split), protocol.test_clips, protocol.unseen)
    embedded = np.concatenate([held_out.embedding_ED[second], test.embedding_BD]).astype(float)
    labels = np.array(
        [*np.array(protocol.seen)[held_out.targets_E[second]], *np.array(protocol.unseen)[test.targets]]
    )
    store, rows, others = workspace.frames, [], []
    stills = np.stack([store.frames[int(row)] for row in store.rows(list(protocol.test_clips[::10]))])
    shown = patterns_of(stills, seed=1)
    bars = shown[: len(stills)]
    moving = np.stack([np.stack([np.roll(f, 2 * t, axis=1) for t, f in enumerate(clip)]) for clip in bars])
    noisy = stills // 2 + shown[len(stills) : 2 * len(stills)] // 2
    strange = dict(zip([*KINDS, "moving bars", "half noise"], [*np.split(shown, len(KINDS)), moving, noisy]))
    strange = {kind: embed_frames(model.network, shared.checkpoint.config, f) for kind, f in strange.items()}
    for n, share, repeat in itertools.product(NAMES, SHARES, range(REPEATS)):
        n_trained, rng = round(n * share), np.random.default_rng([n, round(10 * share), repeat])
        if n - n_trained > len(protocol.unseen):
            continue
        names = [
            *rng.permutation(protocol.seen)[:n_trained],
            *rng.permutation(protocol.unseen)[: n - n_trained],
        ]
        own, is_trained_C = np.isin(labels, names), np.arange(n) < n_trained
        targets = np.array([names.index(name) for name in labels[own]])
        for prompt in ("label", "description"):
            table = classes.loc[
                names, ["name", "label", *(["description"] if prompt == "description" else [])]
            ]
            found = model.classifier(table, prompt=prompt)
            scores = found.scores(embedded[own])
            confidence = confidences(found.balanced(scores), found.temperature)
            best = (
                seen_unseen_curve(scores, targets, is_trained_C).harmonic_upper_bound if n_trained else np.nan
            )
            points_VD = shared.methods["transfer", prompt]["points_KD"][len(protocol.seen) :]
            level = before_level(points_VD, held_out, n, found.temperature)
            why = found.why_unsure(embedded[own], scores, confidence)
            plain = confidences(scores, found.temperature)
            sides = {
                "before": (plain.argmax(1), plain.max(1) >= level),
                "after": (confidence.argmax(1), why == ""),
            }
            about = {"split": split, "prompt": prompt, "names": n, "share": share}
            for side, (predicted, sure) in sides.items():
                figures = figures_of(predicted, sure, targets, is_trained_C)
                rows.append(about | {"side": side, "best H": best} | figures)
            if repeat:
                continue
            for kind, clips in {"own": embedded[own], "other actions": embedded[~own], **strange}.items():
                given = found.scores(clips)
                why = found.why_unsure(clips, given, confidences(found.balanced(given), found.temperature))
                marked, sure = (why == NONE_OF_THESE).mean(), (why == "").mean()
                value = np.append(scores.max(1), given.max(1))
                auroc = roc_auc_score(np.arange(len(value)) < len(scores), value)
                others.append(about | {"kind": kind, "none of these": marked, "sure": sure, "auroc": auroc})
    return rows, others


def drawn(found: pd.DataFrame, path: Path) -> None:
    """H, and the share right among sure predictions, by the share of names that were trained on."""
    share = "share of the names trained on (%)"
    titles = ((share, "H (%)"), (share, "right of sure (%)"))
    about = f"{found['split'].nunique()} trainings, 3 to 20 names, classes that chose nothing"
    figure = style.new_panels("Trained names beside new ones", about, titles, 380, per_row=2, gap=0.12)
    for side, colour in (("before", style.ORANGE), ("after", style.BLUE)):
        by_share = found[found["side"] == side].groupby("share").mean(numeric_only=True)
        values = by_share["H"], by_share["sure_right"] / by_share["sure"]
        for col, value in enumerate(values, 1):
            line = {"color": colour, "width": 2}
            style.curve(figure, by_share.index, value, side, "", line, row=1, col=col, showlegend=col == 1)
    best = found[found["share"] > 0].groupby("share")["best H"].mean()
    dashed = {"color": style.GREY, "dash": "dash"}
    style.curve(figure, best.index, best, "best gamma", "", dashed, row=1, col=1)
    figure.add_hline(y=100 * SHARE_RIGHT, line={"color": style.GREY, "dash": "dot"}, row=1, col=2)
    figure.update_yaxes(range=[0, 101])
    save_figure(figure, path, 820)


def main() -> None:
    workspaces = [zl.Workspace(folder) for folder in sys.argv[2:]]
    parts = [mixes(workspace, split) for workspace in workspaces for split in workspace.study.splits]
    found, others = (pd.DataFrame([row for part in parts for row in part[n]]) for n in (0, 1))
    for by in (["side", *more.split()] for more in ("names share", "share", "prompt", "split", "")):
        table = found.groupby(by).mean(numeric_only=True)
        both = found[found["share"] > 0].groupby(by).mean(numeric_only=True)
        table["H of best"] = both["H"] / both["best H"]
        table["right of sure"] = table["sure_right"] / table["sure"]
        print(table[["trained", "new", "H", "H of best", "sure", "right of sure"]].round(3))
    print(others.groupby(["kind", "prompt"])[["none of these", "sure", "auroc"]].mean().round(2).unstack())
    drawn(found, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
