"""Write the tables of README.md and docs/demo.md that tell what the demo finds, from a study's report.

    python -m zsar_lab demo --protocol stratified-10..12 random-10 --workspace runs/table
    python benchmarks/write_tables.py runs/table/report.json

What they need of the report is kept in table.json beside this file; without a report they are made of that.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).with_name("table.json")
NAMES = {
    "direct": "direct: nearest class text in the shared space",
    "ridge": "ridge: ridge regression to the class text",
    "ridge_centred": "ridge, centred",
    "transfer": "**transfer**: the paper's method",
    "kernel_ridge": "kernel ridge: regression from class texts to prototypes",
    "match": "match: the cross-modal encoder's score",
    "transfer_match": "transfer + match",
    "direct_reranked": "direct, its best classes put in order by match",
    "transfer_reranked": "transfer, its best classes put in order by match",
}
SHORT = ("direct", "ridge", "transfer", "kernel_ridge", "match")  # of the README
FIGURES = ("top1", "top1_low", "top1_high", "std", "validation_top1", "p_holm")
FIGURES += ("difference", "difference_low", "difference_high")
STACKED = ("seen", "unseen", "harmonic", "harmonic_low", "harmonic_high")


def needed(report: dict[str, Any]) -> dict[str, Any]:
    """What the tables are made of, rounded to a hundredth of a percent."""

    def some(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, float]:
        return {name: round(row[name], 4) for name in names if row.get(name) is not None}

    of_transfer = [row for row in report["prompts"] if row["method"] == "transfer"]
    stacked = [row for row in report["generalised"] if row["method"] in ("direct", "transfer")]
    return {
        "protocol": report["protocol"]["name"],
        "upper_bound": [round(one["upper_bound"], 4) for one in (report, *report["beside"])],
        "seen_top1": round(report["seen_top1"], 4),
        "methods": {name: some(row, FIGURES) for name, row in report["methods"].items()},
        "beside": {name: round(top1, 4) for name, top1 in report["beside"][0]["top1"].items()},
        "prompts": {row["prompt"]: some(row, FIGURES) for row in of_transfer},
        "generalised": {f"{row['method']}, {row['reduction']}": some(row, STACKED) for row in stacked},
    }


def percent(share: float) -> str:
    """In percent, one decimal."""
    return f"{100 * share:.1f}"


def less(row: dict[str, float]) -> str:
    """A difference with its interval, in points, and Holm's p; empty for what others are compared with."""
    if "difference" not in row:
        return " | "
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    return f"{100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}] | {row['p_holm']:.3f}"


def interval(row: dict[str, float], name: str = "top1") -> str:
    """Its ends in whole percents."""
    return f"{100 * row[name + '_low']:.0f}..{100 * row[name + '_high']:.0f}"


def table(head: str, rows: list[str]) -> str:
    """As Markdown."""
    return "\n".join([f"| {head} |", "|---" * (head.count("|") + 1) + "|", *(f"| {row} |" for row in rows)])


def tables(kept: dict[str, Any]) -> dict[str, str]:
    """Each table as Markdown, by the name of its markers."""
    methods, bound = kept["methods"], "upper bound: true prototypes, not zero-shot"
    of_prompts = sorted(kept["prompts"].items(), key=lambda item: -item[1]["top1"])
    short = [
        f"{NAMES[name]} | {percent(methods[name]['top1'])} | {interval(methods[name])}" for name in SHORT
    ]
    long = [
        f"{NAMES[name]} | {percent(row['top1'])} | {percent(row['std'])} | {interval(row)} | {less(row)}"
        f" | {percent(kept['beside'][name])}"
        for name, row in methods.items()
    ]
    above, beside = map(percent, kept["upper_bound"])
    prompts = [
        f"{name} | {percent(row['top1'])} | {less(row)} | {percent(row['validation_top1'])}"
        for name, row in of_prompts
    ]
    stacked = [
        f"{name} | {percent(row['seen'])} | {percent(row['unseen'])} | {percent(row['harmonic'])} |"
        f" {interval(row, 'harmonic')}"
        for name, row in kept["generalised"].items()
    ]
    compared = "less {}, 95 % interval | Holm's p"
    head = f"method | top-1 | std over splits | 95 % interval over classes | {compared.format('transfer')}"
    return {
        "short": table("method | top-1 | 95 % interval over classes", [*short, f"{bound} | {above} | "]),
        "methods": table(
            head + " | random classes, 1 split", [*long, f"{bound} | {above} | | | | | {beside}"]
        ),
        "prompts": table(f"prompt | top-1 | {compared.format('label')} | on validation classes", prompts),
        "generalised": table("method, reduction | S | U | H | 95 % interval", stacked),
    }


def written(text: str, made: dict[str, str]) -> str:
    """A page with the tables in it written anew, each between its markers."""
    marked = re.compile(r"(<!-- table: (\w+) -->\n\n).*?(<!-- end of table -->)", re.S)
    return marked.sub(lambda found: f"{found[1]}{made[found[2]]}\n\n{found[3]}", text)


def main(report: str = "") -> None:
    """Write both pages."""
    if report:
        kept = needed(json.loads(Path(report).read_text(encoding="utf-8")))
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    made = tables(json.loads(KEPT.read_text(encoding="utf-8")))
    for page in (ROOT / "README.md", ROOT / "docs" / "demo.md"):
        page.write_text(written(page.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
