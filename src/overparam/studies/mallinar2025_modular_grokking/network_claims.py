"""What is claimed of two-layer networks."""

from overparam.claims.claim import Claim, Range
from overparam.studies.mallinar2025_modular_grokking.statistics import (
    NAMES,
    NETWORKS_TOO,
    OTHER,
    RANDOM,
    REGULARISED,
    gain_of_regularisers,
    highest,
    last_accuracy,
    max_of,
    min_of,
    values,
)

NETWORKS = [
    Claim(
        "network_delay",
        "A network has learned the training pairs 20 epochs before the test pairs.",
        paper="delayed generalisation",
        source="section on networks",
        statistic=lambda rows: min_of(rows["delay"]),
        passes=Range(low=20),
        tolerance="epochs between accuracies of 0.999, p = 31, shortest over seeds",
        where={"test": "delay"},
        kind="paper",
        sentence=NETWORKS_TOO,
        criterion="beforehand",
    ),
    Claim(
        "network_flat",
        "When it has learned the training pairs, no more than 10 % of the test pairs are right.",
        paper="near 0",
        source="section on networks",
        statistic=lambda rows: max_of(rows["accuracy_when_trained"]),
        passes=Range(high=0.1),
        tolerance="largest test accuracy over seeds",
        where={"test": "delay"},
        kind="paper",
        sentence=NETWORKS_TOO,
        criterion="beforehand",
    ),
    Claim(
        "network_features",
        "W₁ᵀW₁ of a network is proportional to the square root of its AGOP.",
        paper="correlations .955, .942, .924, .929",
        source="table of correlations, p = 61",
        statistic=lambda rows: min_of(value[-1] for value in values(rows, "correlation")),
        passes=Range(low=0.9),
        tolerance="Pearson correlation of entries at the end, smallest over operations, seeds",
        where={"test": "wide"},
        kind="paper",
        sentence=NETWORKS_TOO,
        criterion="beforehand",
    ),
    *(
        Claim(
            f"network_{operation}_kind",
            f"For {NAMES[operation]}, a network's block becomes {kind}, the kind "
            "that kernel machines do not learn.",
            paper="block-circulant; which kind is not said",
            source="figure of the network's features",
            statistic=lambda rows, kind=kind: min_of(
                other[-1] - own[-1]
                for own, other in zip(values(rows, kind), values(rows, OTHER[kind]), strict=True)
            ),
            passes=Range(low=0.3),
            tolerance="deviation from the other kind minus that from this one, after 50 epochs",
            where={"test": "wide", "operation": operation},
            kind="ours",
        )
        for operation, kind in (("add", "hankel"), ("div", "circulant"))
    ),
    *(
        Claim(
            f"network_{regulariser.replace(' ', '_').lower()}",
            f"With {what}, gradient descent learns 95 % of the test pairs.",
            paper=1.0,
            source="appendix on regularisation, p = 61",
            statistic=lambda rows, regulariser=regulariser: last_accuracy(rows, regulariser),
            passes=Range(low=0.95),
            tolerance="test accuracy after 7000 epochs, mean over seeds; p = 31 at quick",
            where={"test": "regulariser"},
            kind="paper",
            sentence=REGULARISED,
            criterion="beforehand",
        )
        for regulariser, what in (
            ("weight decay", "a weight decay of 1e-5"),
            ("AGOP trace", "1e-3 times the trace of the AGOP in the loss"),
        )
    ),
    Claim(
        "network_regularisers_matter",
        "Both gain 10 points of test accuracy over no regulariser.",
        paper="only the regularised reach 1",
        source="appendix on regularisation, p = 61",
        statistic=gain_of_regularisers,
        passes=Range(low=0.1),
        tolerance="the smaller of both gains, means over seeds",
        where={"test": "regulariser"},
        kind="control",
    ),
    Claim(
        "network_on_circulant_inputs",
        "On inputs under random circulant features a network learns 99 % of the test pairs.",
        paper=1.0,
        source="section on networks: p = 61, 17.5 % of the pairs, a few hundred epochs",
        statistic=lambda rows: min_of(value.max() for value in values(rows, "accuracy")),
        passes=Range(low=0.99),
        weaker=Range(low=0.9),
        tolerance="best test accuracy of 300 epochs, smallest over seeds; width 256; "
        "the paper's 1 less 0.01 of ours",
        where={"test": "given features", "kind": "auto"},
        kind="paper",
        sentence=RANDOM,
        criterion="seen",
    ),
    *(
        Claim(
            f"network_on_{kind}_inputs",
            f"On {what} it learns no more than 10 % of them meanwhile.",
            paper=paper,
            source="section on networks" if kind == "none" else "control",
            statistic=highest("accuracy"),
            passes=Range(high=0.1),
            tolerance="largest test accuracy over epochs and seeds",
            where={"test": "given features", "kind": kind},
            kind="control",
        )
        for kind, what, paper in (
            ("none", "one-hot inputs", "not in 3000 epochs"),
            ("unstructured", "inputs under features without structure", "a control of ours"),
        )
    ),
]
