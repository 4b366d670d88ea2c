"""neural-tangents beside ours: its structured derivatives on a case, and its infinite kernels.

    python benchmarks/peer_neural_tangents.py --compare     # infinite_ntk and infinite_conv_ntk

The last release, 0.6.5, does not import with a current JAX, and asks for TensorFlow only to
translate TensorFlow models. It is set up with the JAX of its time, without TensorFlow, in an
environment of its own; what would import TensorFlow is replaced by an empty module.

Started with --child it runs in that environment and prints JSON; bench_ntk.py does so.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

REQUIREMENTS = (
    "--no-deps", "neural-tangents==0.6.5", "jax==0.4.23", "jaxlib==0.4.23", "numpy==1.26.4",
    "scipy==1.11.4", "ml-dtypes==0.3.2", "opt-einsum==3.3.0", "frozendict==2.4.6",
)  # fmt: skip
IMAGE = (32, 32, 3)
SHAPES = {"mlp": (784,), "pooled": IMAGE, "once": IMAGE, "full": IMAGE}
# As bench_ntk.py computes them: n examples of so many pixels, so many channels, and depth.
VECTORS, WIDTH, DEPTH = 7, 11, 3
IMAGES, SIDE, CHANNELS = 3, 5, 2
VARIANCES = {"weight_variance": 1.7, "bias_variance": 0.04}


def infinite_cases() -> dict[str, dict]:
    """Every kernel to compare, by name."""
    dense = {f"dense {a}": {"kind": "dense", "activation": a} for a in ("relu", "erf", "gelu")}
    conv = {
        f"convolution {a}, {padding}, {head}": {
            "kind": "convolution", "activation": a, "padding": padding, "head": head,
        }
        for a in ("relu", "erf", "gelu")
        for padding in ("circular", "zeros")
        for head in ("flatten", "average")
    }  # fmt: skip
    return {**dense, **conv}


def example_inputs(kind: str) -> list:
    """Inputs that need no common random numbers."""
    import numpy as np

    count, shape = (VECTORS, (WIDTH,)) if kind == "dense" else (IMAGES, (CHANNELS, SIDE, SIDE))
    numbers = np.arange(count * int(np.prod(shape)), dtype=np.float64)
    return np.sin(1.0 + 0.7 * numbers + 0.01 * numbers**2).reshape(count, *shape).tolist()


def structured_derivatives(network: str, n: int, repeats: int) -> dict:
    """Time of the full empirical kernel, after compilation."""
    import jax
    from measuring import measure
    from neural_tangents import NtkImplementation, empirical_ntk_fn, stax

    def conv(channels: int) -> tuple:
        return stax.Conv(channels, (3, 3), padding="SAME", b_std=0.1)

    pool, relu = stax.AvgPool((2, 2), (2, 2)), stax.Relu()
    layers = {
        "mlp": [stax.Dense(1024), relu, stax.Dense(1024), relu],
        "pooled": [conv(32), relu, pool, conv(32), relu, pool, conv(64), relu, stax.Flatten()],
        "once": [conv(32), relu, conv(32), relu, pool, conv(64), relu, stax.Flatten()],
        "full": [conv(32), relu, conv(32), relu, conv(64), relu, stax.GlobalAvgPool()],
    }[network]
    initialise, apply, _ = stax.serial(*layers, stax.Dense(10, b_std=0.1))
    x = jax.random.normal(jax.random.PRNGKey(0), (n, *SHAPES[network]))
    _, params = initialise(jax.random.PRNGKey(1), x.shape)
    kernel = jax.jit(
        empirical_ntk_fn(
            apply, trace_axes=(), vmap_axes=0,
            implementation=NtkImplementation.STRUCTURED_DERIVATIVES,
        )
    )  # fmt: skip
    return measure(lambda: kernel(x, None, params).block_until_ready(), repeats)


def infinite(case: dict) -> list:
    """One infinite kernel as lists, in double precision."""
    import jax.numpy as jnp
    from neural_tangents import stax

    x = jnp.asarray(example_inputs(case["kind"]))
    activation = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu}[case["activation"]]()
    scale = {
        "W_std": VARIANCES["weight_variance"] ** 0.5,
        "b_std": VARIANCES["bias_variance"] ** 0.5,
    }
    if case["kind"] == "dense":
        hidden = [layer for _ in range(DEPTH) for layer in (stax.Dense(1, **scale), activation)]
        _, _, kernel = stax.serial(*hidden, stax.Dense(1, **scale))
        return kernel(x, None, "ntk").tolist()
    padding = {"circular": "CIRCULAR", "zeros": "SAME"}[case["padding"]]
    hidden = [
        layer
        for _ in range(DEPTH)
        for layer in (stax.Conv(1, (3, 3), padding=padding, **scale), activation)
    ]
    head = stax.Flatten() if case["head"] == "flatten" else stax.GlobalAvgPool()
    _, _, kernel = stax.serial(*hidden, head, stax.Dense(1, **scale))
    return kernel(jnp.moveaxis(x, 1, -1), None, "ntk").tolist()


def child(task: str, network: str, n: int, repeats: int, threads: int) -> None:
    """Compute in the environment of neural-tangents and print JSON."""
    from measuring import hold

    hold(threads)
    sys.modules["neural_tangents.experimental"] = ModuleType("neural_tangents.experimental")
    import jax

    if task == "time":
        print(json.dumps(structured_derivatives(network, n, repeats)))
        return
    jax.config.update("jax_enable_x64", True)
    print(json.dumps({name: infinite(case) for name, case in infinite_cases().items()}))


def compare(python: Path) -> dict[str, float]:
    """Largest difference of ours from theirs by case, relative to the largest entry."""
    import torch

    from overparam.tangents import infinite_conv_ntk, infinite_ntk

    command = [str(python), __file__, "--child", "infinite"]
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=4 * 3600
    ).stdout
    theirs = json.loads(answer.splitlines()[-1])
    differences = {}
    for name, case in infinite_cases().items():
        x = torch.tensor(example_inputs(case["kind"]), dtype=torch.float64)
        settings = {"depth": DEPTH, "activation": case["activation"], **VARIANCES}
        if case["kind"] == "dense":
            ours = infinite_ntk(x, **settings)
        else:
            ours = infinite_conv_ntk(x, padding=case["padding"], head=case["head"], **settings)
        reference = torch.tensor(theirs[name], dtype=torch.float64)
        differences[name] = float((ours - reference).abs().max() / reference.abs().max())
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", action="store_true", help="infinite kernels with ours")
    parser.add_argument("--child", choices=("time", "infinite"), help=argparse.SUPPRESS)
    parser.add_argument("--network", default="mlp", choices=list(SHAPES))
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.network, options.n, options.repeats, options.threads)
    elif options.compare:
        from peer_environment import environment

        python = environment("neural-tangents", REQUIREMENTS, with_torch=False)
        for name, difference in compare(python).items():
            print(f"{name:40s} {difference:.1e}")
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
