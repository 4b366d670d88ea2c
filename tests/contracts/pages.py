"""What a page may not say: two numbers of one thing, and findings beside "cannot tell"."""

import math
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser

from overparam._curves import SETTLED
from overparam._told import real
from overparam.report import page
from overparam.report.diagnosis import measured_numbers
from overparam.report.documents import read_documents
from overparam.report.figures import diagnosis_figures
from overparam.report.series import read_series

NUMBER = r"-?[\d.,]*\d(?:e-?\d+)?"


class _Text(HTMLParser):
    """The words of a page, by the heading they stand under."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {"": ""}
        self._inside, self._heading, self._last = "", False, ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._inside, self._heading = tag, tag in ("h2", "h3")

    def handle_endtag(self, tag):
        self._inside, self._heading = "", False

    def handle_data(self, data):
        if self._inside in ("script", "style"):
            return
        if self._heading and data.strip():
            self._last = " ".join(data.split())
        self.sections[self._last] = self.sections.get(self._last, "") + data.replace("\xa0", " ")


def disagreements(document: Mapping) -> list[str]:
    """Everything in which the page of a diagnosis contradicts itself; `page.plotly` may be empty.

    Args:
        document: What `to_dict` gives.
    """
    checked = read_documents(dict(document))[0]
    said = {str(s.get("name")): s for s in checked["statements"]}
    titles = {f.name: f.title.replace("\xa0", " ") for f in diagnosis_figures(checked)}
    words = _Text(page.render([checked]))
    found = [
        *_loss(said, titles), *_stability(said, titles), *_kernel(said, titles),
        *_rate(checked, said, titles), *_ending(checked, said, words), *_none(said, words),
        *_words(checked, words, titles), *_interval(checked), *_unsettled(checked, said),
        *_targets(checked, titles), *_nobody_can(words),
    ]  # fmt: skip
    return [f"{line}\n{titles}\n{[s.get('text') for s in said.values()]}" for line in found]


def _text(said: Mapping, name: str) -> str:
    return str((said.get(name) or {}).get("text") or "")


def _unknown(said: Mapping, name: str) -> bool:
    return (said.get(name) or {}).get("level") == "unknown"


def _loss(said: Mapping, titles: Mapping) -> Iterator[str]:
    told = re.search(rf"loss went from ({NUMBER}) to ({NUMBER})", _text(said, "progress"))
    drawn = re.search(rf"loss \w+ (?:from ({NUMBER}) to|at) ({NUMBER})", titles.get("loss", ""))
    if told and drawn:
        if told[2] != drawn[2] or drawn[1] not in (None, told[1]):
            yield f"two losses of the run: {told[0]}; {drawn[0]}"
    elif told and "loss" in titles and "no longer finite" not in titles["loss"]:
        yield "the title of the loss tells no loss"
    ended = re.search(rf"test error ended at ({NUMBER}) %", _text(said, "test"))
    drawn = re.search(rf"test error ends at ({NUMBER}) %", titles.get("loss", ""))
    if ended and drawn and ended[1] != drawn[1]:
        yield f"two test errors: {ended[0]}; {drawn[0]}"
    if drawn and _unknown(said, "test"):
        yield f"the title tells a test error, the statement none: {drawn[0]}"


def _stability(said: Mapping, titles: Mapping) -> Iterator[str]:
    title = titles.get("sharpness", "")
    told = re.search(r"the run used (.*?)\.(?: |$)", _text(said, "stability"))
    if told and title:
        for number in re.findall(NUMBER, told[1]):
            if not re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", title):
                yield f"{number} of the limit is not in the title"
    if _unknown(said, "stability") and "used" in title:
        yield "the title tells of a limit that the statement does not"


def _kernel(said: Mapping, titles: Mapping) -> Iterator[str]:
    title, text = titles.get("kernel", ""), _text(said, "regime")
    told = re.search(rf"changed by ({NUMBER} (?:%|times))", text)
    if told and title and not _unknown(said, "regime") and told[1] not in title:
        yield f"two changes of the kernel: {told[1]}"
    if _unknown(said, "regime") and "away" in title:
        yield "the title tells of features where the statement cannot"


def _rate(document: Mapping, said: Mapping, titles: Mapping) -> Iterator[str]:
    rate = (document["advice"].get("set") or {}).get("learning_rate")
    action = str((said.get("learning_rate") or {}).get("action") or "")
    advised = re.search(rf"(?:Train at|Raise it to|Lower it to|Try) ({NUMBER})", action)
    if rate is not None and advised and advised[1].rstrip(".") != real(rate):
        yield f"set {real(rate)}, advised {advised[1]}"
    drawn = re.search(rf"the rate to set is ({NUMBER})", titles.get("rate_sweep", ""))
    if rate is not None and drawn and drawn[1] != real(rate):
        yield f"set {real(rate)}, drawn {drawn[1]}"
    best = re.search(rf"({NUMBER}),? did best", _text(said, "learning_rate"))
    lowest = re.search(rf"({NUMBER}) reached the lowest", titles.get("rate_sweep", ""))
    if best and lowest and best[1] != lowest[1]:
        yield f"two best rates: {best[1]}, {lowest[1]}"


def _ending(document: Mapping, said: Mapping, words: _Text) -> Iterator[str]:
    data = document["data"]
    steps, planned = data.get("steps_run"), data.get("steps_planned")
    if steps is None or planned is None or steps >= planned:
        return
    if f"of {planned:,} steps" not in _text(said, "progress"):
        yield f"that there were to be {planned} steps is not said"
    if f"of {planned:,} (" not in "".join(words.sections.values()):
        yield f"that there were to be {planned} steps is not in the head of the page"


def _none(said: Mapping, words: _Text) -> Iterator[str]:
    for name, heading in (("labels", "Suspect labels"), ("spikes", "Loss spikes")):
        none = re.search("None (found|listed)", words.sections.get(heading, ""))
        if none and (said.get(name) or {}).get("level") in ("unknown", "critical"):
            yield f"none found under {heading}, beside: {_text(said, name)}"


def _interval(document: Mapping) -> Iterator[str]:
    """No rate where the best is expected was seen to fail."""
    low, high = document["advice"].get("interval") or (None, None)
    trials = document["series"].get("race") or []
    best = document["advice"].get("learning_rate")
    if not (low and high and best and trials):
        return
    first = min(trials, key=lambda t: (t["order"], t["rate"]))
    steps = first["losses"][:10]
    began = max(sum(steps) / len(steps), first["loss"] or 0) if steps else math.inf
    for trial in trials:
        lost = trial["lost"] or trial["loss"] is None
        if best < trial["rate"] <= high and (lost or trial["loss"] > began):
            yield f"{trial['rate']} failed and lies in {low} to {high}"


def _unsettled(document: Mapping, said: Mapping) -> Iterator[str]:
    """As many measurements did not settle in a statement as in the table of numbers."""
    told = re.search(
        r"\((\d+) more did not|none of (\d+) measure|(one) measure", _text(said, "stability")
    )
    for table in measured_numbers(document).values():
        for row in table.rows:
            if told and row[0] == "stability ratio" and table.columns[-1] == "did not settle":
                count = int(told[1] or told[2] or 1)
                if row[-1] != count:
                    yield f"two counts of what did not settle: {count}, {row[-1]}"


def _targets(document: Mapping, titles: Mapping) -> Iterator[str]:
    if document["data"].get("task") == "regression":
        yield from (f"labels of a regression: {t}" for t in titles.values() if "labels" in t)


def _nobody_can(words: _Text) -> Iterator[str]:
    """A diagnosis has no monitor whose arguments its reader could pass."""
    for word in ("batch= at every", "max_overhead"):
        if word in " ".join(words.sections.values()):
            yield f"the page tells to pass {word}"


def _words(document: Mapping, words: _Text, titles: Mapping) -> Iterator[str]:
    everything = " ".join(words.sections.values())
    for word in (r"\bsamples?\b", r"\bat first\b", "training was lost"):
        if re.search(word, everything):
            yield f"the page says {word}"
    if re.search(r"\bvalue \d|\bthreshold \d", words.sections.get("What was found", "")):
        yield "a bare number stands beside a statement"
    for title in titles.values():
        if re.search(r"\bat the end\b", title):
            yield f"a title says at the end: {title}"
    # A bare number is no bar: it names what it is compared with.
    for statement in document["statements"]:
        if (bar := statement.get("bar")) and not (bar.endswith(".") and re.search(r"\d", bar)):
            yield f"a bar without number or end: {bar}"
    # What did not settle is in no sum of what was measured.
    residual, ratio = (
        read_series(document, name) for name in ("sharpness_residual", "stability_ratio")
    )
    if residual and ratio:
        left = {step for step, value in residual.measured if value >= SETTLED}
        kept = {real(value, 4) for step, value in ratio.measured if step not in left}
        for step, value in ratio.measured:
            if step in left and real(value, 4) not in kept:
                row = re.search(r"stability ratio(.*)", words.sections.get("Numbers", ""), re.S)
                if row and real(value, 4) in " ".join(row[1].split()[:5]).split():
                    yield f"{value} did not settle and is summed up"
