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
from zsar_lab.results.predictions import KEY, Predictions
from zsar_lab.results.statistics import accuracy, per_class
from zsar_lab.results.summary import PARTS, Results
from zsar_lab.results.tables import TABLES, TOP1, readable

SCHEMA_VERSION = 1
FILES = tuple(f"report.{ending}" for ending in ("json", "csv", "tex", "html"))
OF_FAMILY = ("chance", "upper_bound", "seen_top1")  # columns that are the same in all rows
NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")  # a list of numbers in indented json
LATEX: dict[str, Any] = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}"}
LATEX |= {"[": "{[}", "*": "{*}"}  # these would belong to a \\ before them
LATEX |= {character: f"\\{character}" for character in "{}&%$#_"}
COLUMNS = {"top-1 %": TOP1["top1_%"] + "{deviation}", "its 95 % interval": TOP1["interval"]}  # in LaTeX
COLUMNS |= {"top-5 %": "{top5:.1f}", "mean class %": "{mean_class:.1f}"}
OF_ALL = {"S %": "{seen:.1f}", "U %": "{unseen:.1f}"}
OF_ALL |= {"H %": "{harmonic:.1f} [{harmonic_low:.1f}, {harmonic_high:.1f}]", "AUSUC": "{ausuc:.3f}"}


def write_files(results: Results, folder: Path, more: dict[str, Any]) -> None:
    """Write the four files, each whole or not at all; nothing where those of these very results are there."""
    path = folder / FILES[0]
    if all((folder / name).is_file() for name in FILES):
        written = read_json(path)
        made = {"schema_version": SCHEMA_VERSION, "fingerprint": results.fingerprint}
        if isinstance(written, dict) and made.items() <= written.items():
            return
    tables = [results.table(name).assign(protocol_name=results.title(name)) for name in results.families]
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
    """The content of report.json: of the first family, and those of the others under "beside".

    leakage is what must be said of a model's training sets, and the unseen classes that each of them names.
    """
    first, *others = (_family(results, family) for family in results.families)
    about = {"schema_version": SCHEMA_VERSION, "fingerprint": results.fingerprint}
    leakage = {} if results.leakage is None else {"leakage": results.leakage}
    return about | first | leakage | {"beside": others}


def _family(results: Results, family: str) -> dict[str, Any]:
    splits, table = results.splits(family), results.table(family)
    of_splits = [split.about["fingerprints"] for split in splits]
    prints = {name: of_splits[0][name] for name in ("class_text", "encoder")}
    for name in ("checkpoint", "embeddings", "trained_text"):
        prints[f"{name.rstrip('s')}s"] = [of[name] for of in of_splits if name in of]
    rows = {part: _rows(results, family, part) for part in PARTS}
    rows["methods"] = {row["method"]: row for row in rows["methods"]}
    return {
        "family": family,
        "protocol": {
            "name": results.title(family),
            "hash": fingerprint("splits", [split.protocol.hash for split in splits]),
        },
        "top1": {method: row["top1"] for method, row in rows["methods"].items()},
        **{name: _number(table[name].iloc[0]) for name in OF_FAMILY},
        **rows,
        "splits": [_split(split) for split in splits],
        "fingerprints": results.data | prints,
    }


def _rows(results: Results, family: str, part: str) -> Any:
    """The rows of a part, and by split what was chosen, and right clips and clips by class."""
    found = []
    for row in results.part(part, family).astype(object).to_dict("records"):
        where = {name: row[name] for name in KEY}
        named = [name for name in row if name.startswith("fingerprint_")]
        prints = {name.removeprefix("fingerprint_"): row.pop(name) for name in named}
        left_out = (*OF_FAMILY, "n_splits", "part", "splits_top1")
        figures = {name: value for name, value in row.items() if name not in left_out and not pd.isna(value)}
        chosen = [split.find(**where) for split in results.splits(family)]
        counts = [per_class(split.rows(**where)) for split in results.splits(family)]
        figures["settings"] = [
            one.settings | ({"gammas": one.gammas} if one.gammas else {}) for one in chosen
        ]
        figures["splits"] = [accuracy(of) for of in counts]
        figures["per_class"] = [of[["right", "clips"]].T.to_dict("list") for of in counts]
        found.append(figures | {"fingerprints": prints})
    return found


def _split(split: Predictions) -> dict[str, Any]:
    """A split, how it is scored, and of the clips of each role how many, and a hash whatever their order."""
    protocol, scored = split.protocol, {one.method for one in split.scored}
    clips = {
        role: {"number": len(ids), "fingerprint": fingerprint("clips", sorted(ids))}
        for role, ids in protocol.roles.items()
    }
    found: dict[str, Any] = {"name": protocol.name, "hash": protocol.hash}
    found |= {name: list(getattr(protocol, name)) for name in ("seen", "validation", "unseen")}
    found |= {name: getattr(protocol, name) for name in ("generalised", "average", "views")}
    for name, method, candidates in (("seen_top1", SEEN, "seen"), ("upper_bound", UPPER_BOUND, "unseen")):
        is_there = method in scored
        found[name] = accuracy(split.rows(method, candidates=candidates)) if is_there else None
    return found | {"clips": clips, "clips_scored": len(split.ids())}


def _number(share: float) -> float | None:
    """A share as json has it: null where nothing was scored."""
    return None if pd.isna(share) else float(share)


def latex(text: str) -> str:
    """Text as LaTeX prints it: special characters escaped, line breaks as spaces."""
    return " ".join(text.split()).translate(str.maketrans(LATEX))


def latex_body(results: Results) -> str:
    """The body of a LaTeX table of five columns (booktabs), percent; fingerprints as comments."""
    lines = ["% needs \\usepackage{booktabs}; put it into \\begin{tabular}{lcccc} ... \\end{tabular}"]
    for family in results.families:
        table = results.table(family)
        first = table.iloc[0]
        head = " ".join(f"{results.title(family)}, {first['n_clips']} clips".split())
        lines += [f"% {head}", f"% {_shared_prints(table[table['part'] != 'generalised'])}"]
        lines += [r"\toprule", rf"\multicolumn{{5}}{{l}}{{{latex(head)}}} \\"]
        for title, rows in _groups(table):
            columns = OF_ALL if rows["part"].iloc[0] == "generalised" else COLUMNS
            lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{\textit{{{latex(title)}}}}} \\"]
            lines += [rf"Name & {' & '.join(map(latex, columns))} \\"]
            deviation = ["" if pd.isna(std) else f" ± {100 * std:.1f}" for std in rows["std"]]
            shown = readable(rows.assign(deviation=deviation), {"": "{name}"} | columns)
            for cells, (_, row) in zip(shown.to_numpy(), rows.iterrows()):
                prints = f"class text {' '.join(row['prompt'].split())} {row['fingerprint_class_text']}"
                line = " & ".join([latex(cells[0]), *(cell.replace("±", r"$\pm$") for cell in cells[1:])])
                lines.append(rf"{line} \\ % {prints}, method {row['fingerprint_method']}")
        bounds = {"chance": first["chance"], LABELS[UPPER_BOUND]: first["upper_bound"]}
        scored = {name: share for name, share in bounds.items() if not pd.isna(share)}
        lines += [
            r"\midrule",
            *(rf"{latex(name)} & {100 * share:.1f} & & & \\" for name, share in scored.items()),
        ]
        lines.append(r"\bottomrule")
    return "\n".join(lines) + "\n"


def html_page(results: Results) -> str:
    """A page without script or other files, readable under a light and a dark theme."""
    from jinja2 import Environment

    families = []
    for family in results.families:
        table, of_splits = results.table(family), [_split(split) for split in results.splits(family)]
        first, n_classes = table.iloc[0], len({name for split in of_splits for name in split["unseen"]})
        shares = [first[name] for name in OF_FAMILY]
        chance, bound, seen = ("not scored" if pd.isna(one) else f"{100 * one:.1f} %" for one in shares)
        number = f"{len(of_splits)} split{'s' * (len(of_splits) > 1)}"
        words = (
            f"{first['n_clips']:,} clips in {number}, {n_classes} different unseen classes. Chance {chance};"
            f" upper bound {bound} (nearest true prototype, not zero-shot); held-out seen clips {seen}."
        )
        splits = pd.DataFrame(of_splits).assign(protocol=[one["hash"] for one in of_splits])
        kinds = ("seen", "validation", "unseen")  # not the shares of the same name
        splits = splits.assign(**{f"n_{kind}": splits[kind].map(len) for kind in kinds})
        columns = {"name": "{name}"} | {kind: f"{{n_{kind}}}" for kind in kinds} | {"protocol": "{protocol}"}
        columns |= {"clips": "{clips_scored}", "upper bound %": "{upper_bound:.1f}"}
        shown = readable(
            splits.drop(columns=["clips", *kinds]), columns | {"seen classes %": "{seen_top1:.1f}"}
        )
        groups = [
            {"title": title, "table": _shown(rows), "shared": _shared_prints(rows), "prints": _prints(rows)}
            for title, rows in _groups(table)
        ]
        families.append({"title": results.title(family), "words": words, "groups": groups, "splits": shown})
    template = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True).from_string(template)
    with pd.option_context("display.max_colwidth", None):  # pandas would cut long cells
        return page.render(title=f"Zero-shot report: {results.title()}", families=families)


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each part and setting, named, under a title with the prompt that they have in common."""
    for (part, setting), rows in table.groupby(["part", "setting"], sort=False):
        several = part == "prompts"
        name = rows["label"] + ", " + rows["prompt"] if several else rows["label"]
        text = "" if several else f", class text {rows['prompt'].iloc[0]}"
        yield f"{PARTS[part]}, {setting}{text}", rows.assign(name=name)


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one group as text; the head of the differences tells their baseline."""
    columns = {"name": "{name}"} | TABLES[rows["part"].iloc[0]][1]
    shown = readable(rows.drop(columns="setting"), columns)
    baseline = next(iter(rows["compared_with"].dropna()), "")
    return shown.loc[:, (shown != "").any()].rename(columns={"difference": f"top-1 less {baseline}'s"})


def _prints(rows: pd.DataFrame) -> pd.DataFrame:
    """Those fingerprints in which rows differ."""
    prints = _fingerprints(rows)
    table = prints.loc[:, prints.nunique(dropna=False) > 1].fillna("not known")
    table.insert(0, "name", (rows["label"] + ", " + rows["prompt"]).tolist())
    return table


def _shared_prints(rows: pd.DataFrame) -> str:
    """Those fingerprints that all rows have in common."""
    prints = _fingerprints(rows)
    return ", ".join(f"{name} {of.iloc[0]}" for name, of in prints.items() if of.nunique(dropna=False) == 1)


def _fingerprints(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.filter(like="fingerprint_").rename(columns=lambda name: name.removeprefix("fingerprint_"))
