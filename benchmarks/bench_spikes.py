"""Is the cause of a loss spike found? Faults put into small trainings, and what the monitor says.

    python3 x.py bench spikes --cache FILE [--rows] [--json FILE]   the settings to develop on
    python3 x.py bench spikes --cache FILE --kept-aside             the others, once
    python3 x.py bench spikes --quick                               some of them, under 3 minutes

Fourteen faults (spike_cases.py) in fifteen trainings of five networks (spike_settings.py), three
seeds each. Each run is trained a while, watched for some sixty calm steps, and then spoiled. The
first spike after that is compared with what was done; a run whose loss does not spike is left out,
and counted. The monitor logs every step (`max_overhead=inf`) and has no probes: curvature,
which would also say that a rate is above its limit, is not asked.

    python3 x.py bench spikes --overhead 0.05 --step 0.016          as in a long run, with a limit

The same inside a limit, with all probes. These networks take a millisecond a step, so that the
clock is told that a step of training takes so many seconds; what the monitor does is clocked as it
is. A run has then trained for some 250 calm steps in place of 42, so that books are settled.

Printed: the table of what was done and what was said; of each network the share that is right; how
often the layer is; early warnings before spikes of rates above the limit, with and without those
that a climbing rate explains; and false ones and false spikes in calm steps. A run takes a second
or so; `--cache` keeps each.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from spike_cases import AFTER, CASES, Case, batch_of, begin
from spike_settings import SETTINGS, Setting

import overparam.dynamics
from overparam.dynamics import Monitor

RIGHT, SILENT = 0.92, 0.08
NAMES = [case.name for case in CASES]
QUICK = ("MLP, digits, SGD", "Transformer, digits, AdamW")
# A warning counts if the loss rises within so many steps.
AHEAD = 30
# Calm steps more, inside a limit.
SETTLING = 200
LIMIT, UNSEEN = "above the limit", "rate climbs unseen"
# What earlier versions, which told no causes, meant.
MEANT = {"catapult": LIMIT, "divergence": LIMIT, "non-finite": "numerical"}


@dataclass(frozen=True)
class Limit:
    """What a monitor may cost.

    Attributes:
        overhead: Of the time of training.
        step: Seconds that a step of it is said to take; as it is, at 0.
        calm: Steps that are watched before a fault, beside those of a run without a limit.
        probes: Whether the monitor measures, too.
    """

    overhead: float = math.inf
    step: float = 0.0
    calm: int = 0
    probes: bool = False


class Clock:
    """Processor time of the thread, in which a step of training takes at least so long."""

    def __init__(self, step: float) -> None:
        self.step, self.added, self.began, self.aside = step, 0.0, 0.0, 0.0

    def __call__(self) -> float:
        """Seconds."""
        return time.thread_time() + self.added

    def begin(self) -> None:
        """A step begins."""
        self.began, self.aside = self(), 0.0

    def end(self) -> None:
        """It is over: what is missing has passed."""
        self.added += max(self.step - (self() - self.began - self.aside), 0.0)


def watched(case: Case, setting: Setting, seed: int, limit: Limit) -> dict[str, Any]:
    """One run, and what was said of it."""
    cell = {"case": case.name, "setting": setting.name, "network": setting.network, "seed": seed}
    run, clock = begin(case, setting, seed), Clock(limit.step)
    run.at += limit.calm
    monitor = Monitor(
        run.model, setting.loss, run.optimizer, probes=None if limit.probes else [],
        max_overhead=limit.overhead, clock=clock, seed=seed,
    )  # fmt: skip
    begun = run.at
    for step in range(run.at + AFTER):
        clock.begin()
        case.between(run, step)
        x, y = batch_of(case, run, step)
        run.optimizer.zero_grad()
        loss = setting.loss(run.model(x), y)
        loss.backward()
        case.gradients(run, step)
        before = clock()
        monitor.step(loss, batch=(x, y))
        clock.aside = clock() - before
        run.optimizer.step()
        clock.end()
        if not math.isfinite(loss.item()) or (loss.item() > 1e9 and step > run.at + 20):
            break
    events = monitor.events
    monitor.close()
    found = next((event for event in events if event.step >= begun), None)
    early = [event for event in events if event.step < begun]
    row = cell | {
        "at": begun, "full": case.full,
        "false": len(early), "false_causes": [e.kind for e in early],
        "warnings": [vars(warning) for warning in getattr(monitor, "warnings", [])],
        "overhead": monitor.overhead,
    }  # fmt: skip
    if found is None:
        return row | {"said": None}
    said = getattr(found, "cause", "") or MEANT.get(found.kind, found.kind)
    where = getattr(found, "layers", ())
    return row | {
        "said": said, "step": found.step, "right": said in case.truths, "reason": found.reason,
        "outcome": getattr(found, "outcome", ""), "layers": list(where),
        "apart": run.apart if case.local else None,
        "placed": run.apart in where if case.local else None,
    }  # fmt: skip


class Cells:
    """Runs by what was done, kept in a file of one JSON line each."""

    def __init__(self, path: Path | None, limit: Limit) -> None:
        self.path, self.limit = path, limit
        self.digest = code(limit)
        self.rows: dict[str, dict] = {}
        if path is not None and path.exists():
            for line in path.read_text("utf-8").splitlines():
                row = json.loads(line)
                self.rows[row.pop("key")] = row

    def of(self, case: Case, setting: Setting, seed: int) -> dict[str, Any]:
        """The row of a run, from the file or from a new one."""
        key = f"{self.digest} {case.name} {setting.name} {seed}"
        if key not in self.rows:
            self.rows[key] = watched(case, setting, seed, self.limit)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, **self.rows[key]}) + "\n")
        return self.rows[key]


def code(limit: Limit) -> str:
    """Changes with the rule and with the runs; inside a limit with all that it is spent on."""
    here = [Path(__file__).parent / f"spike_{part}.py" for part in ("cases", "settings")]
    folder = Path(overparam.dynamics.__file__).parent
    if limit == Limit():
        files = sorted([*here, *folder.rglob("spike*.py"), *(folder / "spikes").glob("*.py")])
        text = b""
    else:
        files, text = sorted([*here, *folder.rglob("*.py")]), str(limit).encode()
    text += b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(text).hexdigest()[:12]


def share(flags: Iterable[bool]) -> float:
    flags = list(flags)
    return sum(flags) / len(flags) if flags else math.nan


def warned(row: dict[str, Any], *, own: bool) -> bool:
    """Whether a warning came before a spike; with `own`, one that the rate does not explain."""
    return any(
        row["step"] - AHEAD <= warning["step"] < row["step"] and (not own or unexplained(warning))
        for warning in row["warnings"]
    )


def unexplained(warning: dict[str, Any]) -> bool:
    """Whether a warning would be one without the change of the rate."""
    limit = {"update": 3.0, "gradient": 4.0}[warning["signal"]]
    rate = warning["rate"] if math.isfinite(warning["rate"]) else 1.0
    return warning["signal"] == "gradient" or warning["factor"] / max(rate, 1.0) > limit


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures over runs."""
    spiked = [row for row in rows if row["said"]]
    # Until the fault runs of a setting and seed are the same; a warning takes thirty steps.
    calm = {(row["setting"], row["seed"], row["full"]): row for row in rows}.values()
    false = [w for row in calm for w in row["warnings"] if w["step"] < row["at"]]
    driven = [row for row in spiked if truth(row) == LIMIT]
    seen = [row for row in driven if row["case"] != UNSEEN]
    unseen = [row for row in driven if row["case"] == UNSEEN]
    local = [row for row in spiked if row["placed"] is not None and row["right"]]
    return {
        "runs": len(rows), "spiked": len(spiked),
        "right": share(row["right"] for row in spiked),
        "cannot tell": share(row["said"] == "unexplained" for row in spiked),
        "full batch called bad": sum(row["full"] and row["said"] in
                                     ("bad batch", "hard batch", "data switched")
                                     for row in spiked),
        "layer right": share(row["placed"] for row in local), "layers": len(local),
        "warned, rate climbs": share(warned(row, own=False) for row in seen),
        "warned, rate climbs unseen": share(warned(row, own=False) for row in unseen),
        "warned, not by the rate": share(warned(row, own=True) for row in seen),
        "false warnings in 1000 steps": 1000 * len(false) / sum(row["at"] - 30 for row in calm),
        "false spikes in 1000 steps": 1000 * sum(row["false"] for row in calm)
        / sum(row["at"] for row in calm),
    }  # fmt: skip


def truth(row: dict[str, Any]) -> str:
    return next(case.truths[0] for case in CASES if case.name == row["case"])


def criteria(figures: dict[str, Any]) -> dict[str, bool]:
    """What is promised of the settings kept aside."""
    return {
        f"right in {RIGHT:.0%}": figures["right"] >= RIGHT,
        f"cannot tell in at most {SILENT:.0%}": figures["cannot tell"] <= SILENT,
        "a full batch is never a bad one": figures["full batch called bad"] == 0,
    }


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """The table of what was done and what was said."""
    said = Counter((row["case"], row["said"]) for row in rows)
    answers = sorted({row["said"] for row in rows if row["said"]})
    table = Table("done", *answers, "no spike", "right", box=box.SIMPLE)
    for case in CASES:
        own = [row for row in rows if row["case"] == case.name]
        spiked = [row for row in own if row["said"]]
        counts = [str(said[case.name, answer] or "") for answer in answers]
        right = sum(row["right"] for row in spiked)
        table.add_row(case.name, *counts, str(len(own) - len(spiked)), f"{right}/{len(spiked)}")
    console.print(table)
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network and row["said"]]
        console.print(f"{network:12} right {share(row['right'] for row in own):.0%} of {len(own)}")


def asked(options: argparse.Namespace) -> list[Setting]:
    """The settings asked for whose data are here; says which are not."""
    chosen = [s for s in SETTINGS if s.kept_aside == options.kept_aside]
    if options.quick:
        chosen = [s for s in chosen if s.name in QUICK]
    if options.settings:
        chosen = [s for s in SETTINGS if s.name in options.settings]
    reasons = {s.name: s.missing() for s in chosen}
    for name, reason in reasons.items():
        if reason:
            print(f"skipped: {name}: {reason}", file=sys.stderr)
    if all(reasons.values()):
        raise SystemExit("none of the settings has its data here")
    return [s for s in chosen if not reasons[s.name]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two settings, one seed")
    parser.add_argument("--kept-aside", action="store_true", help="the settings to judge on, once")
    parser.add_argument("--cache", type=Path, help="file that keeps every run")
    parser.add_argument("--settings", nargs="+", choices=[s.name for s in SETTINGS])
    parser.add_argument("--cases", nargs="+", choices=NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rows", action="store_true", help="show every run that is not right")
    parser.add_argument("--overhead", type=float, help="limit of the monitor's, e.g. 0.05")
    parser.add_argument("--step", type=float, default=0.0, help="seconds of a step of training")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    limited = options.overhead is not None
    limit = Limit(options.overhead, options.step, SETTLING, probes=True) if limited else Limit()
    cells, rows, settings = Cells(options.cache, limit), [], asked(options)
    for seed in options.seeds[:1] if options.quick else options.seeds:
        for case in (case for case in CASES if case.name in (options.cases or NAMES)):
            for setting in settings:
                if setting.adaptive or not case.only_adaptive:
                    rows.append(cells.of(case, setting, seed))
            print(case.name, seed, file=sys.stderr, flush=True)
    console = Console(width=200)
    if options.rows:
        for row in rows:
            if row["said"] and not row["right"]:
                told = (row["case"], row["setting"], row["seed"], row["said"], row["reason"])
                console.print(*told, sep=" | ", highlight=False)
    show(rows, console)
    figures = summary(rows)
    for name, value in figures.items():
        console.print(f"{name:32} {value:.3g}", highlight=False)
    for what, held in criteria(figures).items():
        console.print(f"{'yes' if held else 'NO '}  {what}", highlight=False)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "summary": figures}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
