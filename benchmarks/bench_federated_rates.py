"""Rates of `chen2025_fadamgc`: for every method five, on training digits alone.

    python3 x.py bench federated_rates [--json FILE]

Each rate trains on 1000 of the 1347 training digits, four times with seeds that no run of the study
has, and is judged by the 347 others: on digits by the mean number of rounds to 90 %, then to 94 %,
where 61 stands for never in 60, then by accuracy in the end; on scaled digits by accuracy in the
end. Rates are half a decade apart. A best one at an end of what was tried is marked; the windows
were put so that none is. Four minutes on one core.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from overparam.federated.algorithms import FAdamGC, FedAdam, FedCM, LocalAdam, Scaffold
from overparam.studies.chen2025_fadamgc import DIGITS, SCALED, TRAIN, digits

SEEDS, ROUNDS, FITTED = range(501, 505), 60, 1000


def post(lr: float) -> FAdamGC:
    """Corrected after the moments."""
    return FAdamGC(lr=lr, correction="post", moments="reset")


# A method, and the rates that are tried.
LOW, MIDDLE, HIGH = (
    (1e-3, 3e-3, 0.01, 0.03, 0.1),
    (0.03, 0.1, 0.3, 1.0, 3.0),
    (0.3, 1.0, 3.0, 10.0, 30.0),
)
TRIED = {
    "digits": {
        "SCAFFOLD": (lambda lr: Scaffold(lr=lr), MIDDLE),
        "FedCM": (lambda lr: FedCM(lr=lr), HIGH),
        "FedAdam": (lambda lr: FedAdam(lr=lr), MIDDLE),
        "LocalAdam": (lambda lr: LocalAdam(lr=lr), LOW),
        "post": (post, LOW),
        "keep": (lambda lr: FAdamGC(lr=lr), LOW),
    },
    "scaled": {
        "SCAFFOLD": (lambda lr: Scaffold(lr=lr), (0.1, *MIDDLE[2:], 10.0)),
        "FedAdam": (lambda lr: FedAdam(lr=lr, server_lr=0.3), (0.1, *MIDDLE[2:], 10.0)),
        "LocalAdam": (lambda lr: LocalAdam(lr=lr), LOW),
        "post": (post, LOW),
        "keep": (lambda lr: FAdamGC(lr=lr), LOW),
    },
}
TAKEN = {"digits": DIGITS, "scaled": SCALED}


def tried(measure: str, make, lr: float) -> dict[str, float]:
    """Means over the seeds of one rate."""
    runs = [
        digits(make(lr), ROUNDS, seed, scaled=measure == "scaled", train=FITTED, until=TRAIN)
        for seed in SEEDS
    ]
    levels = {
        name: sum(min(run[name], ROUNDS + 1) for run in runs) / len(runs)
        for name in ("to_90", "to_94")
    }
    return {"lr": lr, **levels, "final": sum(run["final"] for run in runs) / len(runs)}


def worth(measure: str, row: dict[str, float]) -> tuple[float, ...]:
    """What is made large."""
    rounds = (-row["to_90"], -row["to_94"]) if measure == "digits" else ()
    return (*rounds, row["final"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for measure, methods in TRIED.items():
        for name, (make, rates) in methods.items():
            rows = []
            for lr in rates:
                rows.append(tried(measure, make, lr))
                row = rows[-1]
                print(
                    f"{measure:7} {name:10} {lr:<7g} to 90 % {row['to_90']:5.1f}, to 94 % "
                    f"{row['to_94']:5.1f}, in the end {row['final']:.3f}", flush=True,
                )  # fmt: skip
            best = max(rows, key=lambda row: worth(measure, row))["lr"]
            end = " (an end)" if best in (rates[0], rates[-1]) else ""
            print(f"{measure:7} {name:10} best {best:g}{end}, in the study "
                  f"{TAKEN[measure][name].lr:g}", flush=True)  # fmt: skip
            found.append({"measure": measure, "method": name, "rates": rows, "best": best})
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
