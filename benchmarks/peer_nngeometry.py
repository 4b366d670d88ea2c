"""nngeometry's Gram matrix on one case, as JSON; bench_ntk.py starts it in its environment.

nngeometry 0.4 requires torchvision and never imports it. There is no build of torchvision for the
tested torch, so that nngeometry is installed without its dependencies.
"""

import argparse
import json

import torch
from measuring import measure
from nngeometry import GramMatrix
from nngeometry.layercollection import LayerCollection
from ntk_cases import inputs
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case")
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    case, model, x = inputs(options.case)
    # All examples in one batch: with smaller ones it differentiates every pair of batches again.
    loader = DataLoader(TensorDataset(x, torch.zeros(case.n)), batch_size=case.n)

    def kernel() -> Tensor:
        matrix = GramMatrix(
            model,
            loader,
            function=lambda examples, _: model(examples),
            layer_collection=LayerCollection.from_model(model),
        )
        return matrix.to_torch()

    row = measure(kernel, options.repeats)
    print(json.dumps({**row, "norm": float(kernel().double().norm())}))


if __name__ == "__main__":
    main()
