"""Results as files: report.json, csv, the body of a LaTeX table, and an html page that needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.files import fingerprint, read_json, writing
from zsar_lab.methods.table import LABELS, SEEN, UPPER_BOUND
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.predictions import KEY
from zsar_lab.results.summary import PARTS, Results
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text

SCHEMA_VERSION = 1
FILES = tuple(f"report.{ending}" for ending in ("json", "csv", "tex", "html"))
OF_FAMILY = ("chance", "upper_bound", "seen_top1", "n_splits")
NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")  # a list of numbers in indented json
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "[": "{[}",  # this and * would belong to a \\ before them
        "*": "{*}",
        **{character: f"\\{character}" for character in "{}&%$#_"},
    }
)


def write_files(results: Results, folder: Path, more: dict[str, Any]) -> None:
    """Write the four files, each whole or not at all; nothing where those of these very results are there."""
    path = folder / FILES[0]
    if all((folder / name).is_file() for name in FILES):
        written = read_json(path)
        made = {"schema_version": SCHEMA_VERSION, "fingerprint": results.fingerprint}
        if isinstance(written, dict) and made.items() <= written.items():
            return
    tables = [
        results.table(family).assign(protocol_name=results.title(family)) for family in results.families
    ]
    text = json.dumps(report_content(results) | more, indent=2, ensure_ascii=False)
    texts = (
        NUMBERS.sub(lambda numbers: " ".join(numbers[0].split()), text) + "\n",
        pd.concat(tables, ignore_index=True).to_csv(index=False, lineterminator="\n"),
        latex_body(results),
        html_page(results),
    )
    for name, text in (*zip(FILES[1:], texts[1:]), (FILES[0], texts[0])):
        with writing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def report_content(results: Results) -> dict[str, Any]:
    """The content of report.json: of the first family, and those of the others under "beside"."""
    first, *others = (_family(results, family) for family in results.families)
    about = {"schema_version": SCHEMA_VERSION, "fingerprint": results.fingerprint}
    return about | first | {"beside": others}


def _family(results: Results, family: str) -> dict[str, Any]:
    splits, table = results.splits(family), results.table(family)
    rows = {part: _rows(results, family, part) for part in PARTS}
    prints = {name: splits[0].about["fingerprints"][name] for name in ("class_text", "encoder")}
    of_splits = [split.about["fingerprints"] for split in splits]
    for name in ("checkpoint", "embeddings", "trained_text"):
        prints[f"{name.rstrip('s')}s"] = [of[name] for of in of_splits if name in of]
    return {
        "family": family,
        "protocol": {
            "name": results.title(family),
            "hash": fingerprint("splits", [split.protocol.hash for split in splits]),
            **_classes(splits[0].protocol),
        },
        "top1": {row["method"]: row["top1"] for row in rows["methods"]},
        **{name: float(table[name].iloc[0]) for name in OF_FAMILY[:3]},
        "methods": {row["method"]: row for row in rows["methods"]},
        **{part: rows[part] for part in PARTS if part != "methods"},
        "splits": [_split(split) for split in splits],
        "fingerprints": results.data | prints,
    }


def _rows(results: Results, family: str, part: str) -> list[dict[str, Any]]:
    """The rows of a part, and by split what was chosen, and right clips and clips by class."""
    found = []
    for row in results.part(part, family).astype(object).to_dict("records"):
        key = {name: row[name] for name in KEY}
        prints = [name for name in row if name.startswith("fingerprint_")]
        fingerprints = {name.removeprefix("fingerprint_"): row.pop(name) for name in prints}
        left_out = (*OF_FAMILY, "part", "splits_top1")
        figures = {name: value for name, value in row.items() if name not in left_out and not pd.isna(value)}
        chosen = [split.find(**key) for split in results.splits(family)]
        figures["settings"] = [
            one.settings | ({"gammas": one.gammas} if one.gammas else {}) for one in chosen
        ]
        rows = results.rows(**key, family=family)
        by_split = rows.assign(right=rows["rank"] == 1).groupby("split", sort=False)
        figures["splits"] = by_split["right"].mean().tolist()
        figures["per_class"] = [
            {name: [int(of.sum()), len(of)] for name, of in clips.groupby("label", sort=False)["right"]}
            for _, clips in by_split
        ]
        found.append(figures | {"fingerprints": fingerprints})
    return found


def _classes(protocol: Protocol) -> dict[str, list[str]]:
    return {name: list(getattr(protocol, name)) for name in ("seen", "validation", "unseen")}


def _split(split: Any) -> dict[str, Any]:
    """A split, how it is scored, and of the clips of each role how many, and a hash whatever their order."""
    protocol = split.protocol
    clips = {
        role: {"number": len(ids), "fingerprint": fingerprint("clips", sorted(ids))}
        for role, ids in protocol.roles.items()
    }
    scoring = {"generalised": protocol.generalised, "average": protocol.average, "views": protocol.views}
    scored = {"clips": clips, "clips_scored": len(split.ids())}
    bounds = {"seen_top1": split.rows(SEEN, candidates="seen"), "upper_bound": split.rows(UPPER_BOUND)}
    scored |= {name: float((rows["rank"] == 1).mean()) for name, rows in bounds.items()}
    return {"name": protocol.name, "hash": protocol.hash, **_classes(protocol), **scoring, **scored}


def latex(text: str) -> str:
    """Text as LaTeX prints it: special characters escaped, line breaks as spaces."""
    return " ".join(text.split()).translate(LATEX)


def latex_body(results: Results) -> str:
    """The body of a LaTeX table of five columns (booktabs), percent; fingerprints as comments."""
    lines = ["% needs \\usepackage{booktabs}; put it into \\begin{tabular}{lcccc} ... \\end{tabular}"]
    for family in results.families:
        table = results.table(family)
        first = table.iloc[0]
        head = f"{results.title(family)}, {first['n_clips']} clips"
        lines += [f"% {' '.join(head.split())}", f"% {_shared_prints(table[table['part'] != 'generalised'])}"]
        lines += [r"\toprule", rf"\multicolumn{{5}}{{l}}{{{latex(head)}}} \\"]
        for title, rows in _groups(table):
            shown = _shown(rows)
            columns = ["top-1 %", "its 95 % interval", "top-5 %", "mean class %"]
            if rows["part"].iloc[0] == "generalised":
                columns = ["S %", "U %", "H %", "AUSUC"]
                shown["H %"] += " " + shown["95 % interval of H"]
            lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{\textit{{{latex(title)}}}}} \\"]
            lines += [rf"Name & {' & '.join(map(latex, columns))} \\"]
            for name, cells, (_, row) in zip(shown["method"], shown[columns].to_numpy(), rows.iterrows()):
                line = " & ".join([latex(name), *(cell.replace("±", r"$\pm$") for cell in cells)])
                prints = f"class text {' '.join(row['prompt'].split())} {row['fingerprint_class_text']}"
                lines.append(rf"{line} \\ % {prints}, method {row['fingerprint_method']}")
        bounds = (("chance", first["chance"]), (LABELS[UPPER_BOUND], first["upper_bound"]))
        lines += [r"\midrule", *(rf"{latex(name)} & {100 * share:.1f} & & & \\" for name, share in bounds)]
        lines.append(r"\bottomrule")
    return "\n".join(lines) + "\n"


def html_page(results: Results) -> str:
    """A page without script or other files, readable under a light and a dark theme."""
    from jinja2 import Environment

    families = []
    for family in results.families:
        table, splits = results.table(family), results.splits(family)
        first, n_classes = table.iloc[0], len({name for split in splits for name in split.protocol.unseen})
        chance, bound, seen = (f"{100 * first[name]:.1f} %" for name in OF_FAMILY[:3])
        number = f"{len(splits)} split{'s' * (len(splits) > 1)}"
        words = (
            f"{first['n_clips']:,} clips in {number}, {n_classes} different unseen classes. Chance {chance};"
            f" upper bound {bound} (nearest true prototype, not zero-shot); held-out seen clips {seen}."
        )
        groups = [
            {"title": title, "table": _shown(rows), "shared": _shared_prints(rows), "prints": _prints(rows)}
            for title, rows in _groups(table)
        ]
        of_splits = [_split(split) for split in splits]
        shown = {
            "split": [one["name"] for one in of_splits],
            **{kind: [len(one[kind]) for one in of_splits] for kind in ("seen", "validation", "unseen")},
            "clips": [one["clips_scored"] for one in of_splits],
            "upper bound %": [f"{100 * one['upper_bound']:.1f}" for one in of_splits],
            "seen classes %": [f"{100 * one['seen_top1']:.1f}" for one in of_splits],
            "protocol": [one["hash"] for one in of_splits],
        }
        title = results.title(family)
        families.append({"title": title, "words": words, "groups": groups, "splits": pd.DataFrame(shown)})
    template = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True).from_string(template)
    with pd.option_context("display.max_colwidth", None):  # pandas would cut long cells
        return page.render(title=f"Zero-shot report: {results.title()}", families=families)


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each part and setting under a title, with the prompt that they have in common."""
    for (part, setting), rows in table.groupby(["part", "setting"], sort=False):
        text = f", class text {rows['prompt'].iloc[0]}" if part != "prompts" else ""
        yield f"{PARTS[part]}, {setting}{text}", rows


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one part as texts; of their baseline the head of a column tells."""

    def percent(name: str) -> list[str]:
        return [f"{100 * share:.1f}" for share in rows[name]]

    def interval(name: str, sign: str = "") -> list[str]:
        ends = zip(rows[f"{name}_low"], rows[f"{name}_high"])
        return [interval_as_text(pair, sign) if pair[0] == pair[0] else "" for pair in ends]

    part = rows["part"].iloc[0]
    prompts = part == "prompts"
    shown = {"method": [f"{row.label}, {row.prompt}" if prompts else row.label for row in rows.itertuples()]}
    if part == "generalised":
        shown |= {"S %": percent("seen"), "U %": percent("unseen"), "H %": percent("harmonic")}
        shown |= {
            "95 % interval of H": interval("harmonic"),
            "AUSUC": list(rows["ausuc"].map("{:.3f}".format)),
        }
        return pd.DataFrame(shown)
    deviation = ["" if pd.isna(std) else f" ± {100 * std:.1f}" for std in rows["std"]]
    shown |= {"top-1 %": [f"{share}{std}" for share, std in zip(percent("top1"), deviation)]}
    shown |= {"its 95 % interval": interval("top1"), "mean class %": percent("mean_class")}
    shown |= {"mean class's interval": interval("mean_class"), "top-5 %": percent("top5")}
    shown |= {"validation %": percent("validation_top1")}
    shown |= {"N_1 skewness": [f"{skewness:.2f}" for skewness in rows["hubness_skewness"]]}
    baseline = next(iter(rows["compared_with"].dropna()), None)
    if baseline:
        differences = ["" if pd.isna(points) else f"{100 * points:+.1f}" for points in rows["difference"]]
        shown |= {f"top-1 less {baseline}'s": differences}
        shown |= {"difference's interval": interval("difference", "+")}
        shown |= {"p (Holm)": [p_as_text(None if pd.isna(p) else p) for p in rows["p_holm"]]}
        found = (None if pd.isna(points) else points for points in rows["min_detectable"])
        shown |= {"detectable": [detectable_as_text(points) for points in found]}
    return pd.DataFrame(shown)


def _prints(rows: pd.DataFrame) -> pd.DataFrame:
    """Those fingerprints in which rows differ."""
    prints = _fingerprints(rows)
    table = prints.loc[:, prints.nunique(dropna=False) > 1].fillna("not known")
    table.insert(0, "name", [f"{row.label}, {row.prompt}" for row in rows.itertuples()])
    return table


def _shared_prints(rows: pd.DataFrame) -> str:
    """Those fingerprints that all rows have in common."""
    prints = _fingerprints(rows)
    return ", ".join(f"{name} {of.iloc[0]}" for name, of in prints.items() if of.nunique(dropna=False) == 1)


def _fingerprints(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.filter(like="fingerprint_").rename(columns=lambda name: name.removeprefix("fingerprint_"))
