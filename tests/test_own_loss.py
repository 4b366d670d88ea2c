"""Losses inside models: found as functions of the outputs, or said to be none."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import overparam as op
from overparam._own_loss import seen_with_loss, shifted_cross_entropy

IDS = torch.randint(0, 11, (4, 6), generator=torch.Generator().manual_seed(0))


class Returned:
    def __init__(self, loss: Tensor | None, logits: Tensor) -> None:
        self.loss, self.logits = loss, logits


class Inside(nn.Module):
    """A model in the manner of `transformers`; its last layer starts at zero."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed, self.last, self.kind = nn.Embedding(11, 8), nn.Linear(8, 11), kind
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, ids: Tensor, labels: Tensor | None = None) -> Any:
        hidden = torch.tanh(self.embed(ids))
        logits = self.last(hidden if self.kind != "classes" else hidden.mean(1))
        if labels is None:
            return Returned(None, logits)
        if self.kind == "shifted":
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        elif self.kind == "own":
            loss = logits.square().sum() + labels.sum() * logits.mean()
        else:
            loss = F.cross_entropy(logits.reshape(-1, 11), labels.flatten())
        return Returned(loss, logits) if self.kind != "classes" else (loss, logits)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("shifted", "shifted_cross_entropy"), ("tokens", "token_cross_entropy"),
     ("classes", "cross_entropy")],
)  # fmt: skip
def test_the_loss_is_told_from_others_that_begin_alike(kind: str, name: str) -> None:
    model, labels = Inside(kind), IDS[:, 0] if kind == "classes" else IDS
    before = {n: v.clone() for n, v in model.state_dict().items()}
    adapted, loss = seen_with_loss("f", model, {"ids": IDS}, labels, None, None)
    assert loss.__name__ == name  # type: ignore[attr-defined]
    found = loss(adapted({"ids": IDS}), labels)
    returned = model(IDS, labels)
    own = returned[0] if isinstance(returned, tuple) else returned.loss
    torch.testing.assert_close(found, own)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())


def test_one_that_does_not_follow_from_logits_is_said_to() -> None:
    with pytest.raises(ValueError, match=r"no usual loss gives.\nHint: pass loss=.*forward="):
        op.critical_learning_rate(Inside("own"), IDS, IDS, None)


def test_none_without_a_loss_inside_is_refused() -> None:
    with pytest.raises(TypeError, match=r"loss=...\)` expected a function of outputs and targets"):
        op.critical_learning_rate(nn.Linear(3, 1), torch.ones(2, 3), torch.ones(2, 1), None)


def test_a_language_model_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=11, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    batch = transformers.BatchEncoding({"input_ids": IDS, "attention_mask": torch.ones_like(IDS)})
    found = op.critical_learning_rate(model, batch, IDS, None)
    wanted = op.critical_learning_rate(
        model, batch, IDS, shifted_cross_entropy, forward=lambda model, x: model(**x).logits
    )
    assert found == pytest.approx(wanted)
    kernel = op.empirical_ntk(model, batch, forward=lambda model, x: model(**x).logits[:, -1])
    assert kernel.shape == (4, 4)
    with pytest.raises(TypeError, match=r"Hint: pass forward=lambda model, x: model\(\*\*x\).log"):
        op.empirical_ntk(model, batch)
