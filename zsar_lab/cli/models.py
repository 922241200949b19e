"""Commands that score, compare, use and share models."""

from __future__ import annotations

import runpy
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from zsar_lab.cli.studies import DEMO


def evaluate(
    *,
    predictions: Path | None = None,
    classes: Path | None = None,
    model: str | None = None,
    revision: str | None = None,
    embeddings: Path | None = None,
    texts: Path | None = None,
    average: bool = False,
    dataset: str | None = None,
    videos: Path | None = None,
    annotations: Path | None = None,
    protocol: tuple[str, ...] = (),
    method: tuple[str, ...] = (),
    prompt: tuple[str, ...] = (),
    allow_leakage: bool = False,
    json: Path | None = None,
) -> None:
    """Score predictions from elsewhere, or a model, or embeddings from elsewhere, on a dataset.

    Args:
        predictions: csv with the columns label and prediction, or answer (free text), a row a clip.
        classes: file of all candidate classes, a name a line or a csv; without it those that occur.
        model: a folder of export, a workspace, or a public model (a folder, or a hub name: list_models()).
        revision: commit, branch or tag of a model in the hub.
        embeddings: instead of a model: clips' vectors as parquet, npz or safetensors; needs no videos.
        texts: the class texts' vectors, where they are not in that file.
        average: take the mean of several rows of one clip or class.
        dataset: a folder of class folders, one made by prepare, or the name of a public dataset.
        videos: of a public dataset: the folder above the class folders.
        annotations: of a public dataset: the folder of its official annotation files.
        protocol: protocols, such as half-0..9, all or random-0..2.
        method: names of list_methods; without it all that need no training.
        prompt: of the class texts; without it one that reads all that the classes say.
        allow_leakage: score also where the model was trained on a class that counts as unseen.
        json: file for the figures.
    """
    if revision and not model:
        raise ValueError("--revision is of a --model in the hub")
    if bool(predictions) == bool(dataset) or bool(dataset) != (bool(model) != bool(embeddings)):
        raise ValueError("give --predictions, or --dataset and --model or --embeddings")
    if (texts or average) and not embeddings:
        raise ValueError("--texts and --average are of --embeddings")
    _check_output(json, predictions, classes, embeddings, texts)
    if predictions:
        from zsar_lab.results.outside import read_predictions, score_predictions

        if videos or annotations or protocol or method or prompt:
            raise ValueError("--predictions takes --classes and --json alone")
        scores = score_predictions(read_predictions(predictions, classes))
        text, content = scores.text(), scores.content()
    else:
        from zsar_lab.embed.outside import Embeddings
        from zsar_lab.evaluation import evaluate as score
        from zsar_lab.results.report_files import report_content
        from zsar_lab.viz.tables import report_as_text

        assert dataset
        scored = model or Embeddings.read(embeddings or "", texts, average)
        asked: dict[str, Any] = {"videos": videos, "annotations": annotations, "revision": revision}
        asked |= {"methods": method or None, "prompts": prompt or None, "allow_leakage": allow_leakage}
        results = score(scored, dataset, protocol, **asked)
        text = "\n\n".join(report_as_text(results, family) for family in results.families)
        text, content = f"{text}\n\n{results.sentence()}", report_content(results)
    print(text)
    _write(json, content)


def embed(
    model: str,
    dataset: str,
    /,
    *,
    out: Path,
    videos: Path | None = None,
    annotations: Path | None = None,
    method: str | None = None,
    prompt: str | None = None,
    licence: str | None = None,
) -> None:
    """Write the clips and class texts of a dataset as vectors of a model, for evaluate and search.

    Args:
        model: a folder of export, a workspace, or a public model (folder or hub name).
        dataset: as of evaluate.
        out: file, .parquet, .npz or .safetensors.
        videos: of a public dataset: the folder above the class folders.
        annotations: of a public dataset: the folder of its official annotation files.
        method: whose points the class texts are, transfer or direct; without it the model's usual one.
        prompt: of the class texts; without it one that reads all that the classes say.
        licence: of the model, to be written beside where the vectors come from.
    """
    from zsar_lab.embed.outside import check_form
    from zsar_lab.evaluation import embed_dataset

    check_form(out)
    where: dict[str, Any] = {"annotations": annotations, "videos": videos}
    about = {"licence": licence} if licence else {}
    made = embed_dataset(model, dataset, **where, method=method, prompt=prompt, provenance=about)
    made.save(out)
    print(f"{made!r}\nWritten to {out}.")


def search(
    text: str,
    /,
    *,
    workspace: Path | None = None,
    embeddings: Path | None = None,
    model: str | None = None,
    videos: tuple[Path, ...] = (),
    k: int = 20,
    method: str | None = None,
    json: Path | None = None,
) -> None:
    """Rank clips by the cosine of a text with each; the score is no probability.

    Args:
        text: what is looked for, such as 'a person falls'.
        workspace: whose clips are searched, by its first split's model.
        embeddings: instead: a file of embed, or of vectors made elsewhere, with the model that made it.
        model: of the embeddings, or of the videos.
        videos: instead: video files or folders.
        k: how many clips.
        method: how the text becomes a point, transfer or direct; without it the model's usual one.
        json: file for the table, a list of objects.
    """
    from zsar_lab.infer.model import load_model
    from zsar_lab.infer.search import search as find

    _check_output(json, embeddings)
    if sum(map(bool, (workspace, embeddings, videos))) != 1 or (videos and not model):
        raise ValueError("give --workspace, or --embeddings (and --model), or --model and --videos")
    where = load_model(model) if videos else workspace or embeddings or ""
    by = None if videos else model
    table = find(text, where, k, model=by, videos=list(videos) or None, method=method)
    shown = table.drop(columns=[name for name in ("path", "class") if not any(table[name])])
    print(shown.to_string(index=False, float_format="{:+.3f}".format))
    _write(json, table.to_dict("records"))


def compare(a: Path, b: Path, /, *, json: Path | None = None) -> None:
    """Compare two reports of one protocol, or two results of predictions, on the same clips.

    Args:
        a: a report.json, a folder with one, or a file of evaluate --predictions --json.
        b: the other one.
        json: file for the figures.
    """
    from zsar_lab.results.compare_reports import compare_reports, read_report

    _check_output(json, a, b)
    found = compare_reports(read_report(a), read_report(b))
    print(f"A: {a}\nB: {b}\n\n{found.text()}")
    _write(json, found.content())


def _write(path: Path | None, content: Any) -> None:
    """Write a file of --json, where one is asked for."""
    if path:
        from zsar_lab.files import write_json

        write_json(path, content)
        print(f"\nWritten to {path}.")


def _check_output(path: Path | None, *read: Path | None, option: str = "--json") -> None:
    """Refuse a file that is a folder, or is one of those that are read."""
    inputs = {one.resolve() for given in read if given for one in (given, given / "report.json")}
    if path and (path.is_dir() or path.resolve() in inputs):
        raise ValueError(f"{option} must name a file of its own, got '{path}', a folder or what is read")


def classify(
    videos: tuple[Path, ...],
    /,
    *,
    classes: Path | None = None,
    names: tuple[str, ...] = (),
    model: str | None = None,
    revision: str | None = None,
    split: str | None = None,
    method: str | None = None,
    prompt: str | None = None,
    min_precision: float = 0.8,
    allow_bias: bool = False,
    window: float | None = None,
    stride: float | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    timeline: Path | None = None,
    workers: int = 2,
    timeout: float = 60.0,
    memory: int = 2000,
) -> int:
    """Name the actions in videos by classes of your own, a line a video, or a window of a long one.

    Args:
        videos: video files, folders of them, a csv with the columns path and label, or a txt of 'file id'.
        classes: csv (name, and any of label, description, text, id) or txt ('name' or 'name: description').
        names: instead of classes: the class names themselves.
        model: a folder of export, a workspace, or a public model (a folder or hub name); runs/demo.
        revision: commit, branch or tag of a model in the hub.
        split: of a workspace; without it its first.
        method: transfer or direct; without it the model's usual one.
        prompt: of the class texts; without it one that reads all that the classes say.
        min_precision: share of sure predictions that must be right on held-out clips, 0..1.
        allow_bias: leave the scores of names that the model was trained on as they are.
        window: seconds of a window; without it what the model looks at.
        stride: seconds between windows; without it half a window; without both up to 10 s are one window.
        json: file for the table, a list of objects.
        csv: file for the table.
        timeline: page (.html) with a timeline of each video.
        workers: processes that decode at the same time.
        timeout: seconds that a file, or a part of a long one, may take.
        memory: MB that a worker may use.
    """
    from zsar_lab.data.catalog import VIDEO_SUFFIXES
    from zsar_lab.data.datasets.folders import find_videos
    from zsar_lab.data.sampling import WindowSettings
    from zsar_lab.data.workers import Limits
    from zsar_lab.infer.model import load_model
    from zsar_lab.infer.predictions import as_lines, embed_windows, in_order, predict, save_table, summary
    from zsar_lab.text.class_lists import read_classes

    if bool(classes) == bool(names):
        raise ValueError("give either --classes or --names")
    if len(names) == 1 and Path(names[0]).suffix.lower() in (".txt", ".csv"):
        raise ValueError(f"--names takes class names, got {names[0]!r}; a file of them goes to --classes")
    if misplaced := [name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]:
        raise ValueError(f"a class name must be no video, got {misplaced[0]!r}; put videos before --names")
    page = timeline and timeline.resolve()
    if page and (page.suffix.lower() not in (".html", ".htm") or page.is_dir() or not page.parent.is_dir()):
        raise ValueError(f"--timeline must name an .html file in a folder that is there, got '{timeline}'")
    if timeline:  # before anything is read, for it needs plotly
        from zsar_lab.viz.figures.own_videos import write_timelines
    outputs = {"json": json, "csv": csv}
    for form, path in outputs.items():
        _check_output(path, *videos, classes, option=f"--{form}")
    table, opened = read_classes(classes or list(names)), load_model(model, split, revision=revision)
    classifier = opened.classifier(table, method, prompt, min_precision, allow_bias)
    print(f"model: {opened.name}, {opened.about}", file=sys.stderr)
    started, tables, found = time.perf_counter(), [], find_videos(videos)
    cut, limits = WindowSettings(window, stride), Limits(workers, timeout, memory)
    try:
        with closing(embed_windows(found, opened, cut, limits)) as parts:
            for part in in_order(parts, found):
                tables.append(predict(part, classifier))
                print(as_lines(tables[-1]), end="", flush=True)
    except KeyboardInterrupt as interrupt:
        said = f"interrupted after {sum(map(len, tables))} windows, printed above"
        raise KeyboardInterrupt(said) from interrupt
    print(summary(tables, classifier, time.perf_counter() - started), file=sys.stderr)
    if timeline:
        print(write_timelines(tables, timeline, opened.about), file=sys.stderr)
    for form, path in outputs.items():
        if path:
            save_table(tables, path, form)
            print(f"Written to {path}.", file=sys.stderr)
    return int(all((part["prediction"] == "").all() for part in tables))


def export(
    *,
    workspace: Path = DEMO,
    split: str | None = None,
    out: Path | None = None,
    push: str | None = None,
    public: bool = False,
) -> None:
    """Write the trained model of a split as a folder that loads elsewhere, with its model card.

    Args:
        workspace: a folder made by the demo command or a notebook.
        split: without it the study's first.
        out: an empty folder; without it `shared/<split>` in the workspace.
        push: name of a repository of the model hub, such as me/my-model, to push to.
        public: a repository that is made is public; without it private.
    """
    from zsar_lab.infer.export import export_split
    from zsar_lab.infer.export import info as about
    from zsar_lab.infer.hub import push_shared
    from zsar_lab.workspace import Workspace

    shared = export_split(Workspace.open(workspace), split, out)
    folder = shared.checkpoint.path.parent
    print(f"{about(shared)}\nWritten to {folder}.")
    if push:
        print(f"Pushed to {push_shared(folder, push, private=not public)}.")


def info(folder: str, /) -> None:
    """Tell what a folder of ours holds, where it comes from, and how good it is.

    Args:
        folder: a study, a training, what prepare or export left, a file of embeddings' folder, or the name of
            a shared model in the model hub.
    """
    from zsar_lab.folders import describe

    print(describe(folder))


def bench(
    *,
    preset: str = "demo",
    seconds: float = 30.0,
    tiny: bool = False,
    device: str | None = None,
    json: Path | None = None,
) -> None:
    """Time the training engine beside a bare hand-written loop, with batches in memory and from the loader.

    Args:
        preset: demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18.
        seconds: of each side of a measurement, about.
        tiny: small sizes everywhere, to try all of it on a CPU.
        device: cpu or cuda; without it the first GPU if there is one.
        json: file for the figures.
    """
    script = Path(__file__).parents[2] / "benchmarks" / "bench_engine.py"
    if not script.is_file():
        raise FileNotFoundError("bench needs a checkout of zsar_lab with benchmarks/bench_engine.py")
    measure = runpy.run_path(str(script))["bench"]
    found = measure(preset, seconds, tiny, device, lambda *said: print(*said, flush=True))
    _write(json, found)
