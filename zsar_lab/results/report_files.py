"""A report as files beside report.json: csv, LaTeX and a self-contained html page."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.files import writing
from zsar_lab.results.report_json import check_report
from zsar_lab.results.report_table import GENERALISED, report_table
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text

TITLES = {
    "methods": "Methods",
    "class_texts": "Class texts",
    "corrections": "Corrections of hubness on transfer",
}
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",
    "*": "{*}",  # the last two would belong to a \\ before them
}
STYLE = """
:root { color-prompt: light dark; --text: #1f2328; --page: #ffffff; --line: #d0d7de; --quiet: #59636e; --band: #f6f8fa; }
@media (prefers-color-prompt: dark) { :root { --text: #e6edf3; --page: #0d1117; --line: #30363d; --quiet: #9198a1; --band: #151b23; } }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 16px 20px 48px; }
h1 { font-size: 1.5em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05em; margin: 1.6em 0 .4em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88em; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 7px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; vertical-align: top; }
th { white-space: normal; vertical-align: bottom; min-width: 3.2em; }
th:first-child, td:first-child { text-align: left; } tbody tr:nth-child(even) { background: var(--band); }
.prints, .note { color: var(--quiet); font-size: .85em; } .prints { overflow-wrap: anywhere; } code { font-family: ui-monospace, monospace; }
"""


def write_report_files(content: dict[str, Any], folder: Path) -> list[Path]:
    """Write report.csv, report.tex and report.html, each whole or not at all.

    Args:
        content: of `Report.content`, or read from report.json; reports under "beside" come after it in every
            file.
        folder: made if absent.

    Returns:
        The three paths.

    Raises:
        ValueError: it is no report, or one of an earlier version.
        PermissionError: the folder cannot be written to.
    """
    texts = {
        "csv": report_table(content).to_csv(index=False, lineterminator="\n"),
        "tex": latex_body(content),
        "html": html_page(content),
    }
    paths = []
    for ending, text in texts.items():
        paths.append(Path(folder) / f"report.{ending}")
        with writing(paths[-1]) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def latex_body(content: dict[str, Any]) -> str:
    """The body of a LaTeX table of five columns (booktabs): name, top-1 with its deviation over splits, interval, top-5, mean over classes; percent.

    Rows stand in groups whose heading says the setting, so that inductive and transductive ones are never
    unmarked. Comments name the fingerprints.

    Raises:
        ValueError: as `report_table`.
    """
    lines = ["% needs \\usepackage{booktabs}; put it into \\begin{tabular}{lcccc} ... \\end{tabular}"]
    for one, table in _reports(content):
        name, first = one["protocol"]["name"], table.iloc[0]
        lines += [
            f"% {_one_line(name)}",
            f"% {_shared_prints(table[table['part'] != GENERALISED])}",
            r"\toprule",
        ]
        lines += [
            rf"\multicolumn{{5}}{{l}}{{{latex(name)}, {first['n_clips']} clips}} \\",
            r"Name & Top-1 & 95\,\% interval & Top-5 & Mean class \\",
        ]
        for title, rows in _groups(table):
            lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{\textit{{{latex(title)}}}}} \\"]
            lines += [_latex_row(row) for _, row in rows.iterrows()]
        lines += _latex_generalised(one)
        bounds = (
            ("chance", first["chance"]),
            ("upper bound (true prototypes, not zero-shot)", first["upper_bound"]),
        )
        lines += [
            r"\midrule",
            *(rf"{latex(words)} & {100 * share:.1f} & & & \\" for words, share in bounds),
            r"\bottomrule",
        ]
    return "\n".join(lines) + "\n"


def _latex_generalised(content: dict[str, Any]) -> list[str]:
    """Rows of the methods with seen and unseen classes as candidates, calibrated: S, U, H with its interval, area."""
    if not content.get(GENERALISED):
        return []
    lines = [
        r"\midrule",
        r"\multicolumn{5}{l}{\textit{Seen and unseen classes as candidates, calibrated}} \\",
        r"Name & S & U & H & Area \\",
        r"\midrule",
    ]
    for row in content[GENERALISED]:
        s, u, h = (f"{100 * row[f'calibrated_{name}']:.1f}" for name in ("seen", "unseen", "harmonic"))
        prints = f"protocol {row['fingerprints']['protocol']}, method {row['fingerprints']['method']}"
        lines.append(
            rf"{latex(row['method'])} & {s} & {u} & {h} {interval_as_text(row['harmonic_ci95'])} & {row['area']:.3f} \\ % {prints}"
        )
    return lines


def latex(text: str) -> str:
    """Text as LaTeX prints it: special characters escaped, line breaks as spaces."""
    return "".join(LATEX.get(character, character) for character in _one_line(text))


def html_page(content: dict[str, Any]) -> str:
    """A page that needs nothing else: no script, no other file, readable under a light and a dark theme.

    Raises:
        ValueError: as `report_table`.
    """
    sections = [_section(one, table) for one, table in _reports(content)]
    title = html.escape(f"Zero-shot report: {content['protocol']['name']}")
    note = (
        "Top-1, top-5 and mean class are percentages of clips of unseen classes named rightly: means over splits, ± the standard deviation over them;"
        " intervals are 95 % class-bootstrap intervals. Differences are in points, on the same clips; p is adjusted for all rows compared with one"
        " baseline, of corrections for those of one setting (Holm). Detectable: the smallest true difference (points) that would be found in four of"
        " five such studies. Inductive: one test clip is looked at at a time; transductive: all test clips together."
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>{STYLE}</style>'
    body = f'<main><h1>{title}</h1><p class="note">{note}</p>{"".join(sections)}</main>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _reports(content: dict[str, Any]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Each report and its rows, the main one first."""
    check_report(content, "the content")
    return [(one, report_table({**one, "beside": ()})) for one in (content, *content.get("beside", ()))]


def _groups(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each part and setting under a title, which names the class text where they have one in common."""
    found = []
    for (part, setting), rows in table[table["part"] != GENERALISED].groupby(["part", "setting"], sort=False):
        text = f", class text {rows['class_text'].iloc[0]}" if part != "class_texts" else ""
        found.append((f"{TITLES[part]}, {setting}{text}", rows))
    return found


def _name(row: pd.Series) -> str:
    return f"{row['method']}, {row['class_text']}" if row["part"] == "class_texts" else row["method"]


def _top1(row: pd.Series, plus_minus: str) -> str:
    deviation = "" if pd.isna(row["std"]) else f" {plus_minus} {100 * row['std']:.1f}"
    return f"{100 * row['top1']:.1f}{deviation}"


def _latex_row(row: pd.Series) -> str:
    top1 = _top1(row, r"$\pm$")
    figures = f"{top1} & {_interval(row)} & {100 * row['top5']:.1f} & {100 * row['mean_class']:.1f}"
    prints = f"class text {_one_line(row['class_text'])} {row['fingerprint_class_text'] or 'not known'}, method {row['fingerprint_method']}"
    return rf"{latex(_name(row))} & {figures} \\ % {prints}"


def _section(content: dict[str, Any], table: pd.DataFrame) -> str:
    name, first, splits = content["protocol"]["name"], table.iloc[0], content["splits"]
    classes = len({unseen for split in splits for unseen in split["unseen"]})
    seen, validation, unseen = (len(splits[0][kind]) for kind in ("seen", "validation", "unseen"))
    chance, bound, seen_top1 = (
        f"{100 * first[figure]:.1f} %" for figure in ("chance", "upper_bound", "seen_top1")
    )
    words = (
        f"{first['n_clips']:,} clips in {len(splits)} split{'s' * (len(splits) > 1)}, {classes} different unseen classes (first split: {seen} seen,"
        f" {validation} validation, {unseen} unseen). Chance {chance}; upper bound {bound} (nearest true prototype, not zero-shot); held-out clips of"
        f" seen classes {seen_top1}."
    )
    parts = [f"<section><h2>{html.escape(name)}</h2><p>{words}</p>"]
    for title, rows in _groups(table):
        parts += [f"<h3>{html.escape(title)}</h3>", _html_table(_shown(rows)), _html_prints(rows)]
    parts += _html_generalised(table[table["part"] == GENERALISED])
    shown = [
        {
            "split": split["name"],
            **{kind: len(split[kind]) for kind in ("seen", "validation", "unseen")},
            "clips": split["clips_scored"],
            "upper bound": f"{100 * split['upper_bound']:.1f}",
            "seen classes": f"{100 * split['seen_top1']:.1f}",
            "protocol": split["hash"],
        }
        for split in splits
    ]
    return "".join([*parts, "<h3>Splits</h3>", _html_table(pd.DataFrame(shown)), "</section>"])


def _html_generalised(rows: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    shown = {"method": rows["method"]}
    for title, name in (("S", "seen"), ("U", "unseen"), ("H", "harmonic")):
        shown |= {title: [f"{100 * share:.1f}" for share in rows[name]]}
    for title, name in (("S calibrated", "seen"), ("U calibrated", "unseen"), ("H calibrated", "harmonic")):
        shown |= {title: [f"{100 * share:.1f}" for share in rows[f"calibrated_{name}"]]}
    shown |= {
        "95 % interval": [interval_as_text(ends) for ends in zip(rows["harmonic_low"], rows["harmonic_high"])]
    }
    shown |= {"area": [f"{area:.3f}" for area in rows["area"]]}
    words = (
        "S and U: percentages of held-out clips of seen classes and of clips of unseen classes, all classes being candidates; H: their harmonic mean."
        " Calibrated: with a constant taken off the seen classes' scores, chosen on validation classes."
    )
    return [
        "<h3>Seen and unseen classes as candidates</h3>",
        f'<p class="note">{words}</p>',
        _html_table(pd.DataFrame(shown)),
        _html_prints(rows),
    ]


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one part as the page shows them; all of a part have one baseline, which the head of a column names."""
    baseline = next(iter(rows["compared_with"].dropna()), "")
    shown = []
    for _, row in rows.iterrows():
        figures = {"method": row["method"]} | (
            {"class text": row["class_text"]} if row["part"] == "class_texts" else {}
        )
        figures |= {
            "top-1": _top1(row, "±"),
            "95 % interval": _interval(row),
            "top-5": f"{100 * row['top5']:.1f}",
        }
        figures |= {
            "mean class": f"{100 * row['mean_class']:.1f}",
            "validation": f"{100 * row['validation_top1']:.1f}",
        }
        figures |= {"N_1 skewness": f"{row['hubness_skewness']:.2f}"}
        if baseline:
            figures |= _difference(row, baseline)
        shown.append(figures)
    return pd.DataFrame(shown)


def _difference(row: pd.Series, baseline: str) -> dict[str, str]:
    columns = (f"difference to {baseline}", "its interval", "p (Holm)", "detectable")
    if pd.isna(row["difference"]):
        return dict.fromkeys(columns, "")
    interval = interval_as_text((row["difference_low"], row["difference_high"]), "+")
    return dict(
        zip(
            columns,
            (
                f"{100 * row['difference']:+.1f}",
                interval,
                p_as_text(row["p_holm"]),
                detectable_as_text(row["detectable"]),
            ),
        )
    )


def _interval(row: pd.Series) -> str:
    return interval_as_text((row["ci95_low"], row["ci95_high"]))


def _html_table(table: pd.DataFrame) -> str:
    with pd.option_context("display.max_colwidth", None):  # pandas would cut long cells
        return f'<div class="wide">{table.to_html(index=False, border=0, escape=True)}</div>'


def _html_prints(rows: pd.DataFrame) -> str:
    own = [
        column
        for column in rows
        if column.startswith("fingerprint_") and rows[column].nunique(dropna=False) > 1
    ]
    table = (
        rows[own]
        .fillna("not known")
        .rename(columns=lambda column: column.removeprefix("fingerprint_").replace("_", " "))
    )
    table.insert(0, "name", [_name(row) for _, row in rows.iterrows()])
    details = f"<details><summary>Fingerprints by row</summary>{_html_table(table)}</details>" if own else ""
    return f'<div class="prints">Fingerprints: {html.escape(_shared_prints(rows))}{details}</div>'


def _shared_prints(table: pd.DataFrame) -> str:
    """Those fingerprints that all rows have in common."""
    shared = {
        column: table[column].iloc[0]
        for column in table
        if column.startswith("fingerprint_") and table[column].nunique(dropna=False) == 1
    }
    return ", ".join(
        f"{column.removeprefix('fingerprint_').replace('_', ' ')} {value or 'not known'}"
        for column, value in shared.items()
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
