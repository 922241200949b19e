"""Leakage audit: which training classes are test classes under the same or another name, by their words and by their texts' distance.

The owner of snowballstemmer. Shapes: S training (seen) classes, U test (unseen) classes, F width of the
pooled embeddings.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import snowballstemmer

from zsar_lab.files import fingerprint, read_json, write_json
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import Prompt, class_text, label, readable_label

# from the strongest to the weakest; the first three look at words, the last at the distance of the texts
RULES = ("exact", "normalised", "contained", "embedding")
NAME_RULES = RULES[:3]
SAME_NAME = ("exact", "normalised")
STOP_WORDS = frozenset("the a an of in on with to and or".split())
FEWEST_CONTAINED = 2
ROWS_A_BLOCK = 1024
# finer differences are rounding errors of float32 embeddings
DECIMALS = 6
PAIR_COLUMNS = ["train", "test", "train_label", "test_label", "rule", "distance"]


def normalised(text: str) -> frozenset[str]:
    """The word stems of a class name or label, without order and repetition.

    Case, underscores, CamelCase, hyphens and other punctuation only part words ("person's" is one word);
    words in parentheses count as the others; "the a an of in on with to and or" are dropped unless nothing
    would be left; the English Snowball stemmer takes inflection off: "Rock-paper-scissors" and "rock scissors
    paper" give the same stems.

    Raises:
        ValueError: the text holds no letter or digit.
    """
    words = re.findall(
        r"[^\W_]+", readable_label(text).replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    kept = [word for word in words if word not in STOP_WORDS] or words
    return frozenset(_stemmer().stemWords(kept))


def letters(text: str) -> str:
    """The text without case, spaces, underscores and hyphens: what the rule "exact" compares."""
    return re.sub(r"[\s_-]+", "", text.casefold())


@dataclass(frozen=True)
class Removal:
    """Which training classes are left out for which test classes, and by what: a small file that a protocol can name.

    Attributes:
        removed: the training classes left out, sorted.
        rules: the name rules that removed.
        threshold: a training class is removed when a test class's text is nearer than this cosine distance;
            None: not asked.
        encoder: fingerprint of the encoder the distances come from; "" when there are none.
        train_names, test_names: the lists that were compared.
    """

    removed: tuple[str, ...]
    rules: tuple[str, ...]
    threshold: float | None
    encoder: str
    train_names: tuple[str, ...]
    test_names: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Hash of the removed list, rules, threshold, encoder and both lists."""
        return fingerprint("removal", self._content())

    @property
    def rule_text(self) -> str:
        """What removed, in words that fit `Protocol.removed_rule`."""
        why = [f"same name as a test class by the rules {' and '.join(self.rules)}"] if self.rules else []
        if self.threshold is not None:
            why.append(
                f"class text under cosine distance {self.threshold:g} of a test class's, encoder {self.encoder[:12] or 'not named'}"
            )
        return ", or ".join(why) or "no rule"

    def save(self, path: Path) -> Path:
        """Write the list with its hash as json; `path` is a file that ends in .json, or a folder (then leakage.json in it)."""
        file = _json_path(path)
        write_json(file, self._content() | {"hash": self.hash})
        return file

    @staticmethod
    def load(path: Path) -> Removal:
        """Read back what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is no removal list, or its content does not give the hash it names.
        """
        file = _json_path(path)
        content = read_json(file)
        fields = set(Removal.__dataclass_fields__) | {"hash"}
        if not isinstance(content, dict) or set(content) != fields:
            raise ValueError(
                f"a removal file must hold {', '.join(sorted(fields))}, '{file}' holds something else; save the audit again"
            )
        stated = content.pop("hash")
        removal = Removal(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
        )
        if removal.hash != stated:
            raise ValueError(
                f"a removal file's content must give its hash, '{file}' says {stated} but holds {removal.hash}; save the audit again"
            )
        return removal

    def _content(self) -> dict:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


@dataclass(frozen=True, eq=False)
class LeakageAudit:
    """Two lists of classes compared, by `audit`.

    Attributes:
        train_names, test_names: as given.
        train_labels, test_labels: their readable labels.
        pairs: a row for each pair that a name rule finds and, with embeddings, for each training class and
            its nearest test class; train, test, train_label, test_label, rule (the strongest of `RULES` that
            holds), distance (NaN without embeddings); sorted by distance, then rule.
        distances_SU: float32, cosine distances 0..2 of the class texts; None without embeddings.
        encoder: fingerprint or name of the encoder; "" when not known.
    """

    train_names: tuple[str, ...]
    test_names: tuple[str, ...]
    train_labels: tuple[str, ...]
    test_labels: tuple[str, ...]
    pairs: pd.DataFrame
    distances_SU: np.ndarray | None
    encoder: str = ""

    def __repr__(self) -> str:
        return f"LeakageAudit({len(self.train_names)} training classes, {len(self.test_names)} test classes, {len(self.pairs)} pairs)"

    def removed(self, threshold: float | None = None, rules: Sequence[str] = SAME_NAME) -> tuple[str, ...]:
        """The training classes that a name rule finds or whose nearest test class lies under the threshold: min_u d(s, u) < threshold.

        Args:
            threshold: cosine distance, 0..2; None asks the name rules alone.
            rules: of "exact", "normalised", "contained". Embeddings are asked by the threshold.

        Returns:
            Class names, sorted.

        Raises:
            ValueError: an unknown rule, a threshold out of range, or a threshold without embeddings.
        """
        named = set(self.pairs["train"][self.pairs["rule"].isin(_checked_rules(rules))])
        if threshold is not None:
            near = self._distances().min(1) < _checked_threshold(threshold)
            named |= {name for name, is_near in zip(self.train_names, near) if is_near}
        return tuple(sorted(named))

    def curve(self, rules: Sequence[str] = ()) -> pd.DataFrame:
        """How many training classes each threshold removes: n(t) = #{s: a rule finds s, or min_u d(s, u) < t}.

        Args:
            rules: name rules that remove at any threshold; none by default.

        Returns:
            Columns threshold (0, every distance up to 1 after which n grows, 1) and n_removed. A number holds
            from just above the threshold before it.

        Raises:
            ValueError: no embeddings were given, or an unknown rule.
        """
        found = set(self.pairs["train"][self.pairs["rule"].isin(_checked_rules(rules))])
        nearest = self._distances().min(1)
        nearest[[name in found for name in self.train_names]] = -1.0
        thresholds = np.unique(np.concatenate([[0.0, 1.0], nearest[(nearest >= 0) & (nearest <= 1)]]))
        return pd.DataFrame(
            {"threshold": thresholds, "n_removed": np.searchsorted(np.sort(nearest), thresholds, side="left")}
        )

    def nearest(self, n: int, rules: Sequence[str] = RULES) -> pd.DataFrame:
        """The n pairs with the smallest distances among those of these rules; columns as `pairs`, fewer rows when there are fewer.

        Raises:
            ValueError: n is under 1, an unknown rule, or no embeddings were given.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1 pair, got {n}; ask for more")
        return self._pairs_under(np.inf, _checked_rules(rules, RULES), n)

    def decide(self, threshold: float | None = None, rules: Sequence[str] = SAME_NAME) -> Removal:
        """What `removed` gives, with all that it depends on; Raises as `removed`."""
        removed, chosen = self.removed(threshold, rules), None if threshold is None else float(threshold)
        return Removal(removed, tuple(rules), chosen, self.encoder, self.train_names, self.test_names)

    def rule_text(self, threshold: float | None = None, rules: Sequence[str] = SAME_NAME) -> str:
        """By what was removed, in words that fit `Protocol.removed_rule`; Raises as `removed`."""
        return self.decide(threshold, rules).rule_text

    def save(self, path: Path, threshold: float | None = None, rules: Sequence[str] = SAME_NAME) -> Path:
        """Write the removal list (not the distances) with its hash; read it with `Removal.load`. Raises as `removed`."""
        return self.decide(threshold, rules).save(path)

    def refuse(
        self,
        seen: Sequence[str],
        unseen: Sequence[str],
        threshold: float | None = None,
        rules: Sequence[str] = SAME_NAME,
        strict: bool = True,
    ) -> pd.DataFrame:
        """Refuse a split in which a seen class is an unseen one by a name rule or under the threshold.

        Args:
            seen: training classes that are left, of `train_names`.
            unseen: test classes that are scored, of `test_names`.
            threshold, rules: as of `removed`.
            strict: False returns the overlapping pairs instead of refusing.

        Returns:
            The overlapping pairs, columns as `pairs`; no rows when nothing overlaps.

        Raises:
            ValueError: pairs overlap and strict is True; a class is not in the audit; or as `removed`.
        """
        for names, known, side in ((seen, self.train_names, "seen"), (unseen, self.test_names, "unseen")):
            unknown = sorted(set(names) - set(known))
            if unknown:
                raise ValueError(
                    f"every {side} class must be in the audit, {unknown[0]!r} is not; audit the lists that are used"
                )
        found = self.pairs[self.pairs["rule"].isin(_checked_rules(rules))]
        if threshold is not None:
            found = pd.concat(
                [found, self._pairs_under(_checked_threshold(threshold), RULES)]
            ).drop_duplicates(["train", "test"])
        found = found[found["train"].isin(seen) & found["test"].isin(unseen)].reset_index(drop=True)
        if strict and len(found):
            shown = "; ".join(
                f"{row.train!r} and {row.test!r} ({row.rule})" for row in found.head(3).itertuples()
            )
            raise ValueError(
                f"no seen class may be an unseen class under another name, got {len(found)} such pairs: {shown}"
                f"{'; ...' if len(found) > 3 else ''}; leave out the classes that removed() of the audit lists, or allow them with strict=False"
            )
        return found

    def _pairs_under(self, limit: float, rules: Sequence[str], n: int | None = None) -> pd.DataFrame:
        """The n pairs (None: all) with the smallest distances under the limit, among those of these rules."""
        distances_SU = self._distances()
        rule_of = dict(zip(zip(self.pairs["train"], self.pairs["test"]), self.pairs["rule"]))
        rows: list[tuple] = []
        for flat in np.argsort(distances_SU, axis=None, kind="stable"):
            s, u = divmod(int(flat), len(self.test_names))
            if len(rows) == n or distances_SU[s, u] >= limit:
                break
            rule = rule_of.get((self.train_names[s], self.test_names[u]), "embedding")
            if rule in rules:
                rows.append(
                    (
                        self.train_names[s],
                        self.test_names[u],
                        self.train_labels[s],
                        self.test_labels[u],
                        rule,
                        distances_SU[s, u],
                    )
                )
        return _pair_table(rows)

    def _distances(self) -> np.ndarray:
        if self.distances_SU is None:
            raise ValueError(
                "a distance threshold needs embeddings, this audit has none; make it with audit_classes, or ask the name rules alone"
            )
        return _as_written(self.distances_SU)


def audit(
    train_classes: pd.DataFrame,
    test_classes: pd.DataFrame,
    embeddings: tuple[np.ndarray, np.ndarray] | None = None,
    encoder: str = "",
) -> LeakageAudit:
    """Compare training classes with test classes, of two datasets or of one (its seen and its unseen classes).

    - exact: name or label equal without case, spaces, underscores and hyphens;
    - normalised: the same word stems (`normalised`);
    - contained: all stems of one are in the other, at least two of them ("front crawl", "swimming front
      crawl"). It also finds pairs that differ ("petting cat", "petting animal (not cat)"), so it is listed
      and removes only when asked;
    - embedding: none of these. distance = `1 - <a, b> / (|a| |b|)`.

    Distances of another encoder or another class text are other numbers: a threshold goes with both.

    Args:
        train_classes, test_classes: one row a class; the column name, and label where there is one.
        embeddings: of the training and of the test classes, float [S, F] and [U, F], rows as the tables';
            None: names alone.
        encoder: fingerprint or name of what made them.

    Returns:
        The audit; its distances are computed in float64 and compared to six decimals.

    Raises:
        ValueError: an empty table, a name given twice or without a letter, or embeddings of another shape,
            not finite or of length zero.

    Source: Brattoli et al., CVPR 2020, remove training classes under cosine distance 0.05 of averaged
    word2vec; ours adds the name rules and keeps the list.
    """
    train_names, train_labels = _names_and_labels(train_classes, "training")
    test_names, test_labels = _names_and_labels(test_classes, "test")
    distances_SU = None if embeddings is None else _distances(embeddings, (len(train_names), len(test_names)))
    found = _named_pairs(_words(train_names, train_labels), _words(test_names, test_labels))
    written_SU = (
        np.full((len(train_names), len(test_names)), np.nan)
        if distances_SU is None
        else _as_written(distances_SU)
    )
    if distances_SU is not None:
        found = {(s, int(u)): "embedding" for s, u in enumerate(written_SU.argmin(1))} | found
    rows = [
        (train_names[s], test_names[u], train_labels[s], test_labels[u], rule, written_SU[s, u])
        for (s, u), rule in found.items()
    ]
    rows.sort(key=lambda row: (np.nan_to_num(row[5]), RULES.index(row[4]), row[0], row[1]))
    return LeakageAudit(
        train_names, test_names, train_labels, test_labels, _pair_table(rows), distances_SU, encoder
    )


def audit_classes(
    train_classes: pd.DataFrame,
    test_classes: pd.DataFrame,
    files: EncoderFiles | None = None,
    prompt: Prompt = label,
    folder: Path | None = None,
) -> LeakageAudit:
    """As `audit`, with the classes' texts embedded by a sentence encoder.

    Args:
        train_classes, test_classes: as of `audit`, with the columns that the prompt needs.
        files: from `find_encoder`; looked for when None.
        prompt: the class text that is embedded; the label by default.
        folder: keeps the embeddings for the next time; None keeps nothing.

    Raises:
        FileNotFoundError: no encoder is found.
        ValueError: as `audit` and the prompt.
    """
    files = find_encoder() if files is None else files
    embedded = [
        embed_class_text(class_text(table, prompt), files, folder) for table in (train_classes, test_classes)
    ]
    return audit(train_classes, test_classes, (embedded[0].pooled_CF, embedded[1].pooled_CF), files.revision)


class _Words(NamedTuple):
    """What the name rules compare of one class: of its name and its label."""

    letters: frozenset[str]
    stems: frozenset[frozenset[str]]


def _names_and_labels(table: pd.DataFrame, side: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if "name" not in table or not len(table):
        raise ValueError(
            f"the {side} classes must be a table of at least one class with a column 'name', got {len(table)} rows; give one"
        )
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise ValueError(
            f"each of the {side} classes must be given once, got {twice.iloc[0]!r} more than once; delete a row"
        )
    return tuple(table["name"]), tuple(label(table))


def _words(names: Sequence[str], labels: Sequence[str]) -> list[_Words]:
    return [
        _Words(frozenset(map(letters, both)), frozenset(map(normalised, both))) for both in zip(names, labels)
    ]


@functools.cache
def _stemmer():
    return snowballstemmer.stemmer("english")


def _named_pairs(train: Sequence[_Words], test: Sequence[_Words]) -> dict[tuple[int, int], str]:
    """The strongest name rule of each pair that one finds, by their numbers."""
    rules = {(s, u): _name_rule(a, b) for s, a in enumerate(train) for u, b in enumerate(test)}
    return {pair: rule for pair, rule in rules.items() if rule}


def _name_rule(a: _Words, b: _Words) -> str:
    if a.letters & b.letters:
        return "exact"
    if a.stems & b.stems:
        return "normalised"
    within = any(
        min(len(x), len(y)) >= FEWEST_CONTAINED and (x <= y or y <= x) for x in a.stems for y in b.stems
    )
    return "contained" if within else ""


def _distances(embeddings: tuple[np.ndarray, np.ndarray], n_classes: Sequence[int]) -> np.ndarray:
    """1 - cosine of all rows of the first with all of the second, float32 0..2; the products are float64, a block of rows at a time."""
    unit = [
        _unit_rows(np.asarray(rows), n, side)
        for rows, n, side in zip(embeddings, n_classes, ("training", "test"), strict=True)
    ]
    if unit[0].shape[1] != unit[1].shape[1]:
        raise ValueError(
            f"both embeddings must have one width, got {unit[0].shape[1]} and {unit[1].shape[1]}; embed both with the same encoder"
        )
    blocks = [
        1 - unit[0][start : start + ROWS_A_BLOCK] @ unit[1].T
        for start in range(0, len(unit[0]), ROWS_A_BLOCK)
    ]
    return np.clip(np.concatenate(blocks), 0, 2).astype(np.float32)


def _as_written(distances_SU: np.ndarray) -> np.ndarray:
    """float64 to six decimals, so that a threshold of 0.7 means 0.7 and what rounding leaves of 0 is 0."""
    return distances_SU.astype(np.float64).round(DECIMALS)


def _unit_rows(rows: np.ndarray, n_classes: int, side: str) -> np.ndarray:
    if rows.ndim != 2 or len(rows) != n_classes:
        raise ValueError(
            f"the {side} embeddings must be one row a class ({n_classes} rows), got the shape {rows.shape}; embed the same table"
        )
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0)
    if bad.any():
        raise ValueError(
            f"the {side} embeddings must be finite and not zero, got {bad.sum()} others, first in row {bad.argmax()}; embed again"
        )
    return rows / lengths


def _checked_rules(rules: Sequence[str], known: Sequence[str] = NAME_RULES) -> tuple[str, ...]:
    wrong = [
        rule
        for rule in ([rules] if isinstance(rules, str) else rules)
        if rule not in known or isinstance(rules, str)
    ]
    if wrong:
        raise ValueError(
            f"rules must be a list out of {', '.join(known)}, got {wrong[0]!r}; distances are asked by the threshold"
        )
    return tuple(rules)


def _checked_threshold(threshold: float) -> float:
    if not 0 <= threshold <= 2:
        raise ValueError(
            f"a threshold must be a cosine distance of 0 to 2, got {threshold}; choose one in this range"
        )
    return threshold


def _pair_table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).astype({"distance": np.float64})


def _json_path(path: Path) -> Path:
    return Path(path) if Path(path).suffix == ".json" else Path(path) / "leakage.json"
