"""Domain adaptation by skada, in its own environment: accuracies and times of tasks in a file.

peer_skada.py JOB.npz RESULT.npz
"""

import sys
import time

import numpy as np
import skada
from sklearn.linear_model import LogisticRegression


def pipelines() -> dict:
    def ending() -> LogisticRegression:
        return LogisticRegression(max_iter=1000)

    return {
        "skada CORAL": lambda: skada.make_da_pipeline(skada.CORALAdapter(reg=0.1), ending()),
        "skada subspace": lambda: skada.make_da_pipeline(
            skada.SubspaceAlignmentAdapter(n_components=20), ending()
        ),
        "skada OT mapping": lambda: skada.make_da_pipeline(skada.OTMappingAdapter(), ending()),
        "skada entropic OT": lambda: skada.make_da_pipeline(
            skada.EntropicOTMappingAdapter(reg_e=0.05, norm="median"), ending()
        ),
        "skada class-regularised OT": lambda: skada.make_da_pipeline(
            skada.ClassRegularizerOTMappingAdapter(reg_e=0.05, reg_cl=0.1), ending()
        ),
        "skada linear OT": lambda: skada.make_da_pipeline(
            skada.LinearOTMappingAdapter(reg=1e-3), ending()
        ),
    }


def main() -> None:
    job, result = sys.argv[1:]
    made, found = pipelines(), []
    with np.load(job) as file:
        count = len({name.split("/")[0] for name in file.files})
        tasks = [[file[f"{i}/{j}"] for j in range(4)] for i in range(count)]
    for x, y, target, right in tasks:
        rows = np.concatenate([x, target])
        labels = np.concatenate([y, np.full(len(target), -1)])
        domains = np.repeat([1, -2], [len(x), len(target)])
        values = []
        for make in made.values():
            start = time.process_time()
            try:
                model = make().fit(rows, labels.copy(), sample_domain=domains)
                share = float(np.mean(model.predict(target) == right))
            except Exception as problem:  # a peer that fails is a result, too
                print(problem, file=sys.stderr)
                share = float("nan")
            values.append((share, time.process_time() - start))
        found.append(values)
    np.savez(result, names=np.array([*made]), found=np.array(found))


if __name__ == "__main__":
    main()
