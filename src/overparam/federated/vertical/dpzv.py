"""DPZV: scalars with noise in, two embeddings out, no gradient anywhere."""

from dataclasses import dataclass

from overparam._checked import checked
from overparam._types import Count, Positive
from overparam.federated.vertical.accountant import PrivacySpec
from overparam.federated.vertical.zeroth_order import Kind


@checked
@dataclass(frozen=True, kw_only=True)
class DPZV:
    """Settings of zeroth-order training of a vertical split with noised scalars.

    For a batch I of B a party draws a direction u and sends its embeddings at w ± λu. The server
    sends back one number for each direction,

        Δ = (1/B) Σ_{i∈I} clip(δ_i, −C, C) + N(0, σ²),   δ_i = (f_i(w + λu) − f_i(w − λu))/(2λ),

    and the party moves: w ← w − η Δ u. The head on the server moves the same way, with noise of
    its own: a step on it without noise would void the guarantee, as later answers depend on it.

    Args:
        lr: η of the parties.
        server_lr: η of the head; `None` is that of the parties.
        smoothing: λ; 1e-3 suits losses of order 1 in single precision.
        clip: C, in units of the slope along u, which is about the length of the gradient.
        directions: R of them for each batch: R numbers down, R times the releases, and the mean of
            R steps.
        kind: How directions are drawn; see `direction`.
        privacy: What is promised; `None` adds no noise.

    Source: Zhang et al. (2025), arXiv:2502.20565, here with 2λ and directions of length √d, which
    make the estimate unbiased; u on the unit sphere with λ is the same for η' = (d/2)η,
    C' = (2/√d)C, σ' = (2/√d)σ and λ' = √d λ.

    Example:
        >>> DPZV(lr=0.1, privacy=PrivacySpec(epsilon=1.0, delta=1e-5)).clip
        1.0
    """

    lr: Positive = 0.03
    server_lr: Positive | None = None
    smoothing: Positive = 1e-3
    clip: Positive = 1.0
    directions: Count = 1
    kind: Kind = "sphere"
    privacy: PrivacySpec | None = None
