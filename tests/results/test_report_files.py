"""Results as json, csv, LaTeX and html: the same figures, escaped, inductive and transductive apart."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from small_results import GAMMAS, TITLE

from zsar_lab.results.report_files import FILES, html_page, latex, latex_body, report_content, write_files
from zsar_lab.results.summary import PARTS
from zsar_lab.results.tables import interval_as_text, readable


@pytest.fixture(scope="module")
def content(results) -> dict:
    return json.loads(json.dumps(report_content(results)))


def test_the_json_has_the_figures_by_name(results, content):
    table = results.part("methods").set_index("method")
    assert content["top1"] == table["top1"].to_dict() and set(content["methods"]) == set(table.index)
    assert (content["chance"], content["upper_bound"], content["seen_top1"]) == (1 / 12, 1, 1)
    for part in PARTS:
        rows = content[part].values() if part == "methods" else content[part]
        for row, (_, of_table) in zip(rows, results.part(part).iterrows(), strict=True):
            figures = [name for name in row if name in of_table and name not in ("settings", "prompt")]
            assert len(figures) > 20 and all(row[name] == of_table[name] for name in figures)
            prints = {name: of_table[f"fingerprint_{name}"] for name in row["fingerprints"]}
            assert prints == row["fingerprints"]
    assert content["generalised"][1]["settings"] == [{"gammas": list(GAMMAS)}] * 2
    assert content["methods"]["transfer"]["settings"] == [{"k": 1}] * 2
    assert [one["family"] for one in content["beside"]] == ["random"] and content["schema_version"] == 1


def test_a_split_says_how_it_is_scored_and_on_which_clips(results, content):
    first, second = content["splits"]
    protocol = results.splits()[0].protocol
    assert (first["name"], first["hash"]) == ("split 0", protocol.hash)
    assert first["unseen"] == list(protocol.unseen)
    assert (first["average"], first["views"], first["generalised"]) == ("micro", 1, False)
    numbers = {role: of["number"] for role, of in first["clips"].items()}
    assert numbers == {"train": 2, "seen test": 8, "validation": 4, "test": 120}
    for split, counts in zip(results.splits(), content["methods"]["transfer"]["per_class"]):
        rows = split.rows("transfer")
        right = rows[rows["rank"] == 1]["label"].value_counts()
        assert counts == {name: [right.get(name, 0), 10] for name in protocol.unseen}
    differ = [role for role in numbers if first["clips"][role] != second["clips"][role]]
    assert differ == ["train"] and first["clips_scored"] == 120


def test_files_are_written_once_and_whole_or_not_at_all(results, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("zsar_lab.results.report_files.html_page", lambda results: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_files(results, tmp_path, {})
    assert not list(tmp_path.iterdir())
    results.save(tmp_path, seconds={"training": 3})
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert set(before) == set(FILES) and json.loads(before["report.json"][1])["seconds"] == {"training": 3}
    assert re.search(r'"splits": \[ ?[0-9., ]+ ?\]', before["report.json"][1].decode())  # on one line
    results.save(tmp_path, seconds={"training": 9})
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == before
    (tmp_path / "report.tex").unlink()
    results.save(tmp_path, seconds={"training": 9})
    assert json.loads((tmp_path / "report.json").read_text())["seconds"] == {"training": 9}
    table = pd.read_csv(tmp_path / "report.csv")
    assert len(table) == sum(len(results.table(family)) for family in results.families)
    for name in ("top1", "top1_low", "mean_class_high", "hubness_skewness", "difference", "p_holm", "ausuc"):
        expected = pd.concat([results.table(family)[name] for family in results.families], ignore_index=True)
        pd.testing.assert_series_equal(table[name], expected, check_exact=True)
    assert set(table["protocol_name"]) == {TITLE, "random"}


def test_figures_for_reading():
    rows = pd.DataFrame({"top1": [0.5, None], "p": [0.001, 0.05], "min_detectable": [1.04, 0.0]})
    shown = readable(rows, {"top-1": "{top1:.1f} %", "p": "{p}", "detectable": "{min_detectable}"})
    assert shown.to_numpy().tolist() == [["50.0 %", "<0.01", "over 100"], ["", "0.05", ""]]
    assert (interval_as_text((0.39, 0.71)), interval_as_text((-0.078, 0.075), "+")) == (
        ("[39.0, 71.0]", "[-7.8, +7.5]")
    )


def test_special_characters_of_latex_are_escaped():
    assert latex("a_b & 5 % of $x^2$ {#1} ~ \\") == (
        r"a\_b \& 5 \% of \$x\textasciicircum{}2\$ \{\#1\} \textasciitilde{} \textbackslash{}"
    )
    assert latex("<two\n lines>") == r"\textless{}two lines\textgreater{}" and latex("[1] *") == "{[}1] {*}"


def test_the_latex_body_has_a_row_for_each_with_its_figures(results):
    body, row = latex_body(results), results.part("methods").iloc[3]
    low, high = (f"{100 * row[end]:.1f}" for end in ("top1_low", "top1_high"))
    cells = f"transfer & {100 * row['top1']:.1f} $\\pm$ {100 * row['std']:.1f} & [{low}, {high}] & "
    cells += f"{100 * row['top5']:.1f} & {100 * row['mean_class']:.1f} \\\\ % class text description print of"
    assert cells in body and row["fingerprint_method"] in body and "chance & 8.3 & & & \\\\" in body
    of_all = results.part("generalised").iloc[1]
    start = f"transfer, calibrated stacking & {100 * of_all['seen']:.1f} & {100 * of_all['unseen']:.1f} & "
    assert start + f"{100 * of_all['harmonic']:.1f} [" in body
    for setting in ("inductive", "transductive"):
        assert f", label propagation, {setting}, class text description}}" in body
    single = body[body.rindex("\\toprule") :]
    assert r"\pm" not in single and body.count("\\toprule") == body.count("\\bottomrule") == 2
    for line in body.splitlines():
        code = re.sub(r"(?<!\\)%.*", "", line).strip()
        if code and code not in (r"\toprule", r"\midrule", r"\bottomrule"):
            cells = len(re.findall(r"(?<!\\)&", code))
            assert code.endswith(r"\\") and (cells == 4 or code.startswith(r"\multicolumn{5}{l}{")), line
            assert not re.search(r"(?<!\\)[#_~^<>]", code.replace(r"\_", "")), line
            assert len(re.findall(r"(?<!\\)\{", code)) == len(re.findall(r"(?<!\\)\}", code)), line


class Page(HTMLParser):
    """The tags, the attributes that fetch something, and the cells of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.fetched, self.tables, self.title, self._open = [], [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self._open.append(tag)
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "data")]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self._open and self._open[-1] == "title":
            self.title += data


def test_the_page_is_whole_escaped_and_fetches_nothing(results):
    text = html_page(results)
    page = Page(text)
    assert not page._open and page.title == f"Zero-shot report: {TITLE}" and page.fetched == []
    assert not {"script", "link", "img", "iframe", "b"} & set(page.tags) and "alert(1)" in text
    assert not [word for word in ("<script", "@import", "url(") if word in text]
    assert "prefers-color-scheme: dark" in text
    methods = page.tables[0]
    shown = {row[0]: dict(zip(methods[0], row)) for row in methods[1:]}
    for _, row in results.part("methods").iterrows():
        found = shown[row["label"]]
        assert (found["top1_%"], found["std"]) == (f"{100 * row['top1']:.1f}", f"{100 * row['std']:.1f}")
        assert found["interval"] == f"[{100 * row['top1_low']:.1f}, {100 * row['top1_high']:.1f}]"
        assert found["mean_class_%"] == f"{100 * row['mean_class']:.1f}"
    assert shown["transfer"]["top-1 less transfer's"] == "" != shown["direct, ridge"]["top-1 less transfer's"]
    splits = next(table for table in page.tables if "validation" in table[0])
    of_split = [dict(zip(splits[0], row)) for row in splits[1:]]
    for row, one in zip(of_split, results.splits(), strict=False):
        counts = [len(getattr(one.protocol, kind)) for kind in ("seen", "validation", "unseen")]
        assert [row[kind] for kind in ("seen", "validation", "unseen")] == list(map(str, counts))
    prompts = next(table for table in page.tables if "top-1 less label's" in table[0])
    assert "transfer, <b>$x_1$ & 5 %" in {row[0] for row in prompts[1:]}
    for _, row in results.table().iterrows():
        for name in ("method", "protocol", "checkpoints", "class_text"):
            assert row[f"fingerprint_{name}"].split("<")[0] in text
    assert text.count("Fingerprints: ") == 10 and results.splits()[0].protocol.hash in text
