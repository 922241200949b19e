"""zsar_lab.viz.widgets.transfer_explorer driven from Python, and what its figures, table and note show."""

from __future__ import annotations

import html
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from seven_classes import IMAGE, LABELS, PROTOCOL, SCRIPT

from zsar_lab.methods.transfer import settings_grid
from zsar_lab.results.explorer import Choice, Explorer, places_on_map
from zsar_lab.results.summary import settings_as_text
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import unit
from zsar_lab.viz.widgets.transfer_explorer import TAUS, WARNING, TransferExplorer

HARMFUL = "<b>bold</b>"  # a prompt's name


def texts(prompt: str, seed: int) -> ClassEmbeddings:
    random, names = np.random.default_rng(seed), tuple(LABELS)
    text = ClassText(prompt, names, tuple(f"{prompt} of {name}" for name in names))
    pooled = unit(random.normal(size=(len(names), 12))).astype(np.float32)
    words = random.normal(size=(len(names), 3, 7)).astype(np.float32)
    return ClassEmbeddings(text, "encoder", pooled, words, np.ones((len(names), 3), bool))


@pytest.fixture
def explorer(embeddings) -> Explorer:
    rows = np.random.default_rng(5).normal(size=(2, 8))
    prompts = {"good": texts("good", 1), HARMFUL: texts(HARMFUL, 2)}
    return Explorer(embeddings, PROTOCOL, prompts, {"classifier weights": rows})


@pytest.fixture
def widget(catalog, explorer, space) -> TransferExplorer:
    return TransferExplorer(catalog, explorer, space)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


def assert_shown(widget: TransferExplorer, explorer: Explorer, choice: Choice) -> None:
    """That figures and table show what the explorer scores for this choice and for what validation chose."""
    outcome = explorer.score(choice)
    chosen = explorer.score(explorer.chosen(choice.class_text, choice.source))
    assert widget.outcome.choice == choice and widget.html["message"].value == ""
    bars = widget.figures[0]
    top1, top1_chosen, n1, n1_chosen, before = (sorted(trace.y) for trace in bars.data)
    assert top1 == pytest.approx(sorted(100 * outcome.unseen.top1_C))
    assert top1_chosen == pytest.approx(sorted(100 * chosen.unseen.top1_C))
    assert n1 == sorted(outcome.unseen.occurrence_C) and n1_chosen == sorted(chosen.unseen.occurrence_C)
    assert len(before) == (0 if choice.reduction == "none" else len(explorer.protocol.unseen))
    rows = re.findall(r"<tr>.*?</tr>", widget.html["summary"].value.replace("\n", ""))[1:]
    cells = [[text_of(cell).strip() for cell in re.findall("<td.*?</td>", row)] for row in rows]
    pairs = [(getattr(outcome, group), getattr(chosen, group)) for group in ("unseen", "validation")]
    accuracies = [(getattr(a, name), getattr(b, name)) for a, b in pairs for name in ("top1", "mean_class")]
    for row, (a, b) in zip(cells[:4], accuracies, strict=True):
        assert row[1:] == [f"{100 * a:.1f} %", f"{100 * b:.1f} %", f"{100 * (a - b):+.1f} points"]
    (a, b), without = pairs[0], f" (without {outcome.unreduced.hubness.skewness:+.2f})"
    assert cells[4][1] == f"{a.hubness.skewness:+.2f}{'' if choice.reduction == 'none' else without}"
    assert cells[4][2] == f"{b.hubness.skewness:+.2f}" and len(cells) == 6
    settings = settings_as_text(asdict(choice.transfer))
    assert f"{settings}, {choice.source}, {choice.class_text}" in text_of(widget.html["summary"].value)


def test_it_opens_on_what_validation_chose_and_warns(widget, explorer):
    chosen = explorer.chosen("good")
    assert_shown(widget, explorer, chosen)
    k = widget.controls["k"]
    assert (k.min, k.max, k.value) == (1, 2, chosen.transfer.k)
    assert any(WARNING in text_of(getattr(part, "value", "")) for part in widget.children)
    assert {settings.tau for settings in settings_grid(8)} <= set(TAUS)
    assert "zsar-transfer-explorer" in widget._dom_classes


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("k", 2),
        ("tau", 1.0),
        ("relatedness", "plain"),
        ("source", "classifier weights"),
        ("class_text", HARMFUL),
        ("reduction", "CSLS"),
    ],
)
def test_every_control_moves_all_that_is_shown(widget, explorer, control, value):
    chosen = explorer.chosen("good")
    options = getattr(widget.controls[control], "options", ())
    value = next((one for one in options if str(one).lower() == str(value).lower()), value)
    widget.controls[control].value = value
    if control in ("k", "tau", "relatedness"):
        choice = replace(chosen, transfer=replace(chosen.transfer, **{control: value}))
    else:
        choice = replace(chosen, **{"reduction" if control == "reduction" else control: value})
    assert_shown(widget, explorer, choice)


def test_one_button_goes_back_to_what_validation_chose_in_one_step(widget, explorer, monkeypatch):
    widget.choose(k=1, tau=0.01, relatedness="plain", reduction=widget.controls["reduction"].options[-1])
    asked, score = [], Explorer.score
    monkeypatch.setattr(
        Explorer, "score", lambda self, choice: (asked.append(choice), score(self, choice))[1]
    )
    widget.controls["chosen"].click()
    chosen = explorer.chosen("good")
    assert set(asked) == {chosen}
    assert_shown(widget, explorer, chosen)


def test_prototypes_move_on_the_map(widget, explorer, space):
    figure = widget.figures[1]
    shown_ND, before = explorer.embeddings_of(space.ids), [trace.x for trace in figure.data]
    places = [places_on_map(explorer.score(explorer.chosen("good")).prototypes_UD, shown_ND, space.clips_xy)]
    widget.controls["k"].value = 3 - widget.state.k
    places.append(places_on_map(widget.outcome.prototypes_UD, shown_ND, space.clips_xy))
    lines, now, marked = (figure.data[number] for number in (3, 6, 7))
    for trace, xy in zip((marked, now), places):
        np.testing.assert_allclose(np.stack([trace.x, trace.y], axis=1), xy)
    assert list(lines.x[:3]) == [pytest.approx(now.x[0]), pytest.approx(space.true_xy[0, 0]), None]
    same = [old == new for old, new in zip(before, (trace.x for trace in figure.data), strict=True)]
    assert all(same[place] for place in (0, 1, 2, 4, 5, 7))  # clips, true and seen prototypes, and as chosen
    apart = np.hypot(*(places[0] - space.composed_xy).T)
    share = 100 * apart / np.hypot(*(space.clips_xy.max(0) - space.clips_xy.min(0)))
    note = text_of(widget.html["note"].value)
    assert f"off by {np.median(share):.1f} %" in note and f"at most {share.max():.1f} %" in note


def test_without_a_map_there_is_none(catalog, explorer):
    widget = TransferExplorer(catalog, explorer)
    widget.controls["k"].value = 1
    assert len(widget.figures) == 1 and widget.html["note"].value == ""
    assert_shown(widget, explorer, widget.outcome.choice)


def test_names_and_prompts_are_shown_letter_by_letter(widget):
    widget.choose(class_text=HARMFUL)
    pages = [figure.to_json() for figure in widget.figures] + [page.value for page in widget.html.values()]
    for page in pages:
        page = page.replace("\\u003c", "<").replace("\\u003e", ">")
        assert not [evil for evil in (IMAGE, "<script", "</script", HARMFUL) if evil in page]
    assert "&lt;b&gt;bold&lt;/b&gt;" in widget.html["summary"].value
    assert any(html.escape(SCRIPT)[:8] in text for text in widget.figures[0].data[0].customdata)


def test_a_map_of_another_split_is_refused(catalog, explorer, space):
    with pytest.raises(ValueError, match="'split 0'"):
        TransferExplorer(catalog, explorer, replace(space, unseen=("A",)))
