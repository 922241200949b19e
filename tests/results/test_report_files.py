"""A report as csv, LaTeX and html: the same figures, everything escaped, inductive and transductive apart."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from small_report import NAME, as_read, small_report
from test_rescore import clips, good, result, vague  # noqa: F401  (fixtures)

from zsar_lab.results.report import Report, make_report
from zsar_lab.results.report_files import html_page, latex, latex_body, write_report_files
from zsar_lab.results.report_json import PARTS, rows_of
from zsar_lab.results.report_table import report_table
from zsar_lab.results.statistics import compare_by_class, holm


@pytest.fixture(scope="module")
def report() -> Report:
    return small_report()


@pytest.fixture(scope="module")
def content(report) -> dict:
    return as_read(report, small_report((1,)))


# the table


def test_the_csv_holds_every_row_and_figure_again(content, tmp_path):
    paths = write_report_files(content, tmp_path / "new")
    assert [path.name for path in paths] == ["report.csv", "report.tex", "report.html"] and sorted(
        tmp_path.glob("new/*")
    ) == sorted(paths)
    table = pd.read_csv(paths[0])
    expected = [
        (part, row) for one in (content, *content["beside"]) for part in PARTS for row in rows_of(one, part)
    ]
    assert len(table) == len(expected)
    for (part, row), (_, found) in zip(expected, table.iterrows()):
        assert (found["part"], found["method"], found["setting"], found["class_text"]) == (
            part,
            row["method"],
            row["setting"],
            row["class_text"],
        )
        for name in ("top1", "top5", "mean_class", "validation_top1"):
            assert found[name] == row[name]
        assert [found["ci95_low"], found["ci95_high"]] == row["ci95"] and found["hubness_skewness"] == row[
            "hubness"
        ]["skewness"]
        assert {name: found[f"fingerprint_{name}"] for name in row["fingerprints"]} == row["fingerprints"]
        assert found["chance"] == content["chance"] and found["protocol_name"] == NAME
    assert set(table["n_splits"]) == {1, 2} and set(table["n_clips"]) == {120, 240}
    assert (
        table["std"][table["n_splits"] == 1].isna().all()
        and table["std"][table["n_splits"] == 2].notna().all()
    )


def test_content_that_was_never_json_gives_the_same_files(report, content):
    fresh = report.content() | {"beside": [small_report((1,)).content()]}
    pd.testing.assert_frame_equal(report_table(fresh), report_table(content))
    assert html_page(fresh) == html_page(content) and latex_body(fresh) == latex_body(content)


def test_further_measures_of_rows_become_columns(content):
    one = {**content, "beside": [], "class_texts": [], "corrections": []}
    one["methods"] = [
        row | {"confidence": {"aurc": 0.25}, "hubness_ci95": {"skewness": [0.5, 1.5]}}
        for row in content["methods"]
    ]
    table = report_table(one)
    assert table[
        ["confidence_aurc", "hubness_ci95_skewness_low", "hubness_ci95_skewness_high"]
    ].values.tolist() == [[0.25, 0.5, 1.5]] * len(table)
    assert "fingerprints_method" not in table and "per_class" not in table


def test_comparisons_are_those_of_the_report(report, content):
    table = report_table(content | {"beside": []})
    texts = table[(table["part"] == "class_texts") & (table["method"] == "transfer")].set_index("class_text")
    for row in report.compare_texts():
        found = texts.loc[row.class_text]
        if row.p is None:
            assert found[["difference", "p", "p_holm", "detectable", "compared_with"]].isna().all()
        else:
            assert (found["difference"], found["p"], found["p_holm"], found["detectable"]) == (
                row.difference,
                row.p,
                row.p_holm,
                row.detectable,
            )
            assert (found["difference_low"], found["difference_high"], found["compared_with"]) == (
                *row.difference_ci95,
                "label",
            )
    corrections = table[table["part"] == "corrections"]
    expected = [
        (row.row.method, row.difference, row.p, row.p_holm, row.detectable)
        for row in report.compare_corrections()
    ]
    assert (
        list(
            corrections[["method", "difference", "p", "p_holm", "detectable"]].itertuples(
                index=False, name=None
            )
        )
        == expected
    )
    methods = table[(table["part"] == "methods") & (table["method"] != "transfer")]
    pairs = [
        compare_by_class(report.row(method).per_class, report.row("transfer").per_class)
        for method in methods["method"]
    ]
    assert (
        methods["p"].tolist() == [pair.p for pair in pairs]
        and methods["p_holm"].tolist() == holm([pair.p for pair in pairs]).tolist()
    )


def test_without_a_label_prompt_class_texts_are_compared_with_nothing():
    table = report_table(
        as_read(small_report(prompts={"description": (0.4, (0.5, 0.7)), "own": (0.6, (0.4, 0.4))}))
    )
    assert (
        table["difference"][table["part"] == "class_texts"].isna().all()
        and table["difference"][table["part"] == "methods"].notna().sum() == 5
    )


def test_what_is_no_report_becomes_no_file(content, tmp_path):
    with pytest.raises(
        ValueError, match="the content must be a report as a workspace writes it, but it has no 'protocol'"
    ):
        write_report_files({}, tmp_path / "new")
    older = content | {"beside": [{**content["beside"][0], "splits": [{}]}]}
    with pytest.raises(ValueError, match="made by an earlier version of this library and has no 'name'"):
        write_report_files(older, tmp_path / "new")
    assert not (tmp_path / "new").exists()


# LaTeX


def test_special_characters_are_escaped():
    assert latex("a_b & 5 % of $x^2$ {#1} ~ \\") == (
        r"a\_b \& 5 \% of \$x\textasciicircum{}2\$ \{\#1\} \textasciitilde{} \textbackslash{}"
    )
    assert latex("<two\n lines>") == r"\textless{}two lines\textgreater{}" and latex("[1] *") == "{[}1] {*}"


def test_the_body_has_a_row_a_method_with_its_figures(report, content):
    body = latex_body(content)
    row = report.row("transfer")
    low, high = (f"{100 * end:.1f}" for end in row.ci95)
    figures = rf"{100 * row.top1:.1f} $\pm$ {100 * row.std:.1f} & [{low}, {high}] & {100 * row.top5:.1f} & {100 * row.mean_class:.1f} \\"
    assert (
        f"\ntransfer & {figures} % class text description print of description, method {report.fingerprints(row)['method']}\n"
        in body
    )
    assert (
        f"% protocol {content['protocol']['hash']}, catalog catalog, frames frames, encoder e, checkpoints "
        in body
    )
    assert (
        f"\nchance & {100 / 12:.1f} & & & \\\\\n" in body
        and body.count("\\toprule") == body.count("\\bottomrule") == 2
    )
    single = body[body.rindex("\\toprule") :]
    assert r"\pm" not in single and "\ndirect & " in single  # of one split there is no deviation


def test_every_line_of_the_body_is_one_row_of_five_cells(content):
    for line in latex_body(content).splitlines():
        code = re.sub(r"(?<!\\)%.*", "", line).strip()
        if not code or code in (r"\toprule", r"\midrule", r"\bottomrule"):
            continue
        assert code.endswith(r"\\") and (
            len(re.findall(r"(?<!\\)&", code)) == 4 or code.startswith(r"\multicolumn{5}{l}{")
        ), line
        assert not re.search(r"(?<!\\)[#_~^<>]", code.replace(r"\_", "")), line
        assert len(re.findall(r"(?<!\\)\{", code)) == len(re.findall(r"(?<!\\)\}", code)), line


def test_transductive_rows_stand_under_a_heading_that_says_so(content):
    setting, seen = "", set()
    for line in latex_body(content | {"beside": []}).splitlines():
        if line.startswith(r"\multicolumn") and "textit" in line:
            setting = re.search(r"(inductive|transductive)", line)[1]
        elif line.startswith("transfer, "):
            seen.add((line.split(" &")[0].removeprefix("transfer, "), setting))
    assert {("CSLS", "inductive"), ("CSLS", "transductive")} <= seen and ("description", "inductive") in seen


# html


class Page(HTMLParser):
    """The tags, the attributes that fetch something, and the cells of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.fetched, self.tables, self.title, self._open = [], [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta",):
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


def test_the_page_is_whole_and_holds_nothing_that_runs_or_is_fetched(content):
    text = html_page(content)
    page = Page(text)
    assert not page._open and page.title == f"Zero-shot report: {NAME}" and page.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags) and "alert(1)" in text
    assert not [word for word in ("<script", "@import", "url(") if word in text]
    assert "prefers-color-prompt: dark" in text and "color-prompt: light dark" in text


def test_the_page_shows_the_figures_of_the_report(report, content):
    page = Page(html_page(content | {"beside": []}))
    methods = next(table for table in page.tables if table[0][0] == "method")
    columns = methods[0]
    shown = {row[0]: dict(zip(columns, row)) for row in methods[1:]}
    for row in report.rows:
        found = shown[row.method]
        assert (
            found["top-1"] == f"{100 * row.top1:.1f} ± {100 * row.std:.1f}"
            and found["top-5"] == f"{100 * row.top5:.1f}"
        )
        assert found["95 % interval"] == f"[{100 * row.ci95[0]:.1f}, {100 * row.ci95[1]:.1f}]"
    assert (
        shown["transfer"]["difference to transfer"] == ""
        and shown["direct"]["difference to transfer"] == "+0.0"
    )
    texts = next(table for table in page.tables if "difference to label" in table[0])
    assert {row[1] for row in texts[1:]} == {"description", "label", "<b>$x_1$ & 5 %"}
    row = next(row for row in report.compare_texts() if row.class_text == "description")
    (line,) = (line for line in texts[1:] if line[:2] == ["transfer", "description"])
    assert line[texts[0].index("difference to label")] == f"{100 * row.difference:+.1f}"


def test_fingerprints_stand_under_each_table(content):
    text = html_page(content | {"beside": []})
    sections = text.split("<h3>")[1:-1]
    assert [section.split("<")[0].split(", class text")[0] for section in sections] == [
        "Methods, inductive",
        "Class texts, inductive",
        "Corrections of hubness on transfer, inductive",
        "Corrections of hubness on transfer, transductive",
    ]
    for section in sections:
        assert (
            section.index("</table>") < section.index("Fingerprints: protocol ")
            and content["protocol"]["hash"] in section
        )
    for part in PARTS:
        for row in rows_of(content, part):
            assert row["fingerprints"]["method"] in text and row["fingerprints"]["checkpoints"] in text


def test_generalised_scores_are_rows_of_their_own(content, result):  # noqa: F811
    scored = as_read(make_report("one split", [result], "catalog", "frames"))
    table, rows = report_table(scored), scored["generalised"]
    of_all = table[table["part"] == "generalised"]
    assert (
        of_all["method"].tolist()
        == [row["method"] for row in rows]
        == ["direct", "direct, ridge", "direct, ridge centred", "transfer"]
    )
    assert (
        of_all["calibrated_harmonic"].tolist() == [row["calibrated_harmonic"] for row in rows]
        and of_all["top1"].isna().all()
    )
    assert of_all["fingerprint_protocol"].tolist() == [row["protocol"] for row in rows] and set(
        of_all["setting"]
    ) == {"inductive"}
    assert set(of_all["n_clips"]) == {
        len(result.targets) + len(result.protocol.seen_test_clips)
    } and f", {len(result.targets)} clips}} " in latex_body(scored)
    assert (
        f"<p>{len(result.targets)} clips in 1 split" in html_page(scored)
        and f"% protocol {rows[0]['protocol']}" not in latex_body(scored).splitlines()[2]
    )
    assert f"protocol {table['fingerprint_protocol'][0]}" in latex_body(scored).splitlines()[2]
    assert not set(of_all["fingerprint_method"]) & set(
        table.loc[table["part"] != "generalised", "fingerprint_method"]
    )
    s, u, h = (f"{100 * rows[3][f'calibrated_{name}']:.1f}" for name in ("seen", "unseen", "harmonic"))
    assert f"transfer & {s} & {u} & {h} [" in latex_body(scored) and "S & U & H & Area" in latex_body(scored)
    assert f"<td>{h}</td>" in html_page(
        scored
    ) and "<h3>Seen and unseen classes as candidates</h3>" in html_page(scored)
    without = {**content, "beside": []} | {"generalised": []}
    assert "Area" not in latex_body(without) and "candidates</h3>" not in html_page(without)
