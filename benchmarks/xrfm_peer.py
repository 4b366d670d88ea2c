"""Runs xRFM or LightGBM in the peers' environment: a file of arrays in, a file of results out.

    python xrfm_peer.py JOB.npz RESULT.npz

The job holds `method` ("rfm", "xrfm" or "lightgbm"), `task`, `threads`, arrays x_train, y_train,
x_valid, y_valid, x_test, and for "rfm" processor_time, bandwidth, ridge, n_iter, solver.
"""

import sys
import time

import numpy as np


def rfm(job: dict) -> tuple[np.ndarray, list[float]]:
    """Its feature machine, its own two Euclidean Laplace kernels tried, the faster one counted."""
    import torch
    from xrfm.rfm_src import RFM

    torch.set_num_threads(int(job["threads"]))
    x, y, xv, yv, xt = (
        torch.tensor(job[name], dtype=torch.float32)
        for name in ("x_train", "y_train", "x_valid", "y_valid", "x_test")
    )
    y, yv = y[:, None], yv[:, None]
    clock = time.process_time if job["processor_time"] else time.perf_counter
    results = []
    for kernel in ("l2_high_dim", "l2"):
        for rows in (200, len(x)):  # a small fit first: libraries load as they are used
            model = RFM(
                kernel=kernel,
                bandwidth=float(job["bandwidth"]),
                exponent=1.0,
                iters=int(job["n_iter"]),
                diag=False,
                device="cpu",
                verbose=False,
                solver=str(job["solver"]),
            )
            start = clock()
            model.fit(
                (x[:rows], y[:rows]),
                (xv, yv),
                reg=float(job["ridge"]),
                iters=int(job["n_iter"]),
                early_stop_rfm=False,
                return_best_params=False,
            )
            seconds = clock() - start
        results.append((model.predict(xt).numpy()[:, 0], [seconds]))
    return min(results, key=lambda result: result[1])


def xrfm(job: dict) -> tuple[np.ndarray, list[float]]:
    """Its estimator with its defaults."""
    import torch
    from xrfm import xRFM

    torch.set_num_threads(int(job["threads"]))
    x, xv, xt = (job[name].astype(np.float32) for name in ("x_train", "x_valid", "x_test"))
    if str(job["task"]) == "regression":
        y, yv = (job[name].astype(np.float32)[:, None] for name in ("y_train", "y_valid"))
    else:
        y, yv = (job[name].astype(np.int64) for name in ("y_train", "y_valid"))
    model = xRFM(device="cpu", verbose=False, random_state=0)
    start = time.perf_counter()
    arrays = (torch.from_numpy(part) for part in (x, y, xv, yv))
    model.fit(*arrays)
    seconds = time.perf_counter() - start
    prediction = np.asarray(model.predict(torch.from_numpy(xt)))
    return prediction.reshape(len(xt)), [seconds]


def lightgbm(job: dict) -> tuple[np.ndarray, list[float]]:
    """Its estimators with their defaults, on all rows for training."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if str(job["task"]) == "regression" else LGBMClassifier
    model = kind(n_jobs=int(job["threads"]), verbose=-1, random_state=0)
    start = time.perf_counter()
    model.fit(
        np.concatenate([job["x_train"], job["x_valid"]]),
        np.concatenate([job["y_train"], job["y_valid"]]),
    )
    seconds = time.perf_counter() - start
    return np.asarray(model.predict(job["x_test"])), [seconds]


METHODS = {"rfm": rfm, "xrfm": xrfm, "lightgbm": lightgbm}


def main() -> None:
    with np.load(sys.argv[1]) as file:
        jobs = {name: file[name] for name in file.files}
    # Several jobs travel in one file, each under its own prefix.
    prefixes = sorted({name.split("/")[0] for name in jobs})
    results = {}
    for prefix in prefixes:
        job = {n.split("/")[1]: v for n, v in jobs.items() if n.split("/")[0] == prefix}
        prediction, seconds = METHODS[str(job["method"])](job)
        results[f"{prefix}/prediction"] = prediction
        results[f"{prefix}/seconds"] = np.array(seconds)
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
