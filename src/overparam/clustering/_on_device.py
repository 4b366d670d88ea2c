"""The step as a matrix product on a GPU."""

import numpy as np
import torch

from overparam._switches import full_precision
from overparam.clustering._gemm import Products, Step
from overparam.clustering._geometry import Planes
from overparam.clustering._rows import Rows

_HELD = 2**26  # scores at once


class OnDevice:
    """Steps of dense rows that are kept on a device, in double precision where it has that.

    Args:
        rows: Dense.
        reference: m of the planes.
        device: Such as "cuda".

    Cost:
        4 n k d flops a step: sums are a product too, which has the same bits every time. One
        copy of the rows on the device.
    """

    def __init__(self, rows: Rows, reference: np.ndarray, device: str) -> None:
        self._exact = Products(rows, reference)
        at = torch.device(device)
        self._dtype = torch.float32 if at.type == "mps" else torch.float64
        self._x = torch.from_numpy(rows.x).to(at, self._dtype)
        self._x = self._x - torch.from_numpy(reference).to(at, self._dtype)
        self._weights = torch.from_numpy(rows.weights).to(at, self._dtype)

    @full_precision()
    def step(self, planes: Planes) -> Step:
        """Labels and sums for some planes; on the CPU where there are walls."""
        if planes.walls is not None:
            return self._exact.step(planes)
        k = len(planes.slopes)
        slopes, offsets = (torch.from_numpy(a).to(self._x) for a in planes[:2])
        labels = []
        sums, weights = slopes.new_zeros(slopes.shape), slopes.new_zeros(k)
        rows = max(_HELD // k, 1)
        for x, w in zip(self._x.split(rows), self._weights.split(rows), strict=True):
            own = torch.addmm(-offsets, x, slopes.T).argmax(1)
            members = x.new_zeros(len(x), k).scatter_(1, own[:, None], w[:, None])
            sums += members.T @ x
            weights += members.sum(0)
            labels.append(own.to(torch.int32))
        found = torch.cat(labels).cpu().numpy()
        return Step(found, sums.double().cpu().numpy(), weights.double().cpu().numpy())
