"""Rates of `chen2025_fadamgc` on digits: five for every method, on training digits alone.

    python3 x.py bench federated_rates [--json FILE]

Each rate trains on 1000 of the 1347 training digits, four times with seeds that no run of the study
has, and is judged by the 347 others: by the mean number of rounds to 90 %, then to 94 %, where 61
stands for never in 60, then by accuracy in the end. Rates are half a decade apart, and as many for
every method. A best one at an end of what was tried is marked. Three minutes on one core.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from overparam.federated.algorithms import FAdamGC, FedAdam, FedCM, LocalAdam, Scaffold
from overparam.studies.chen2025_fadamgc import DIGITS, TRAIN, digits

SEEDS, ROUNDS, FITTED = range(501, 505), 60, 1000
ADAM, SGD = (1e-3, 3e-3, 0.01, 0.03, 0.1), (0.03, 0.1, 0.3, 1.0, 3.0)


def post(lr: float) -> FAdamGC:
    """Corrected after the moments."""
    return FAdamGC(lr=lr, correction="post", moments="reset")


# A method, and the rates that are tried.
TRIED = {
    "SCAFFOLD": (lambda lr: Scaffold(lr=lr), SGD),
    "FedCM": (lambda lr: FedCM(lr=lr), (0.3, 1.0, 3.0, 10.0, 30.0)),
    "FedAdam": (lambda lr: FedAdam(lr=lr), SGD),
    "LocalAdam": (lambda lr: LocalAdam(lr=lr), ADAM),
    "post": (post, ADAM),
    "keep": (lambda lr: FAdamGC(lr=lr), ADAM),
}


def tried(make, lr: float) -> dict[str, float]:
    """Means over the seeds of one rate."""
    runs = [
        digits(make(lr), ROUNDS, seed, scaled=False, train=FITTED, until=TRAIN) for seed in SEEDS
    ]
    levels = {
        name: sum(min(run[name], ROUNDS + 1) for run in runs) / len(runs)
        for name in ("to_90", "to_94")
    }
    return {"lr": lr, **levels, "final": sum(run["final"] for run in runs) / len(runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for name, (make, rates) in TRIED.items():
        rows = []
        for lr in rates:
            row = tried(make, lr)
            rows.append(row)
            print(f"{name:10} {lr:<6g} to 90 % {row['to_90']:5.1f}, to 94 % {row['to_94']:5.1f}, "
                  f"in the end {row['final']:.3f}", flush=True)  # fmt: skip
        best = max(rows, key=lambda row: (-row["to_90"], -row["to_94"], row["final"]))["lr"]
        end = " (an end)" if best in (rates[0], rates[-1]) else ""
        print(f"{name:10} best {best:g}{end}, in the study {DIGITS[name].lr:g}", flush=True)
        found.append({"method": name, "rates": rows, "best": best})
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
