"""A monitor in a run of Hugging Face's Trainer."""

import math

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from overparam.integrations.transformers import (  # noqa: E402
    TransformersMonitor,
    suggest_trainer_lr,
)

pytestmark = pytest.mark.filterwarnings("ignore")


class Tokens(torch.utils.data.Dataset):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randint(0, 40, (48, 6), generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i):
        return {"input_ids": self.x[i], "labels": self.x[i, 0] % 3}


def classifier():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=8, num_labels=3,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def fit(folder, callbacks, *, resume=None, steps=4):
    args = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, report_to=[],
        gradient_accumulation_steps=2, logging_steps=1, save_steps=2, use_cpu=True, seed=0,
        disable_tqdm=True, learning_rate=1e-3, optim="sgd",  # AdamW has no limit in its first steps
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=classifier(),
        args=args,
        train_dataset=Tokens(),
        callbacks=callbacks,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_numbers_are_in_log_history_and_nothing_else_changes(tmp_path):
    callback = TransformersMonitor(max_overhead=math.inf)
    plain = fit(tmp_path / "plain", [])
    watched = fit(tmp_path / "watched", [callback])
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, watched.model.state_dict()[name]), name
    assert len(watched.model._forward_hooks) == 0
    history = callback.monitor.history
    assert len(history) == 4
    rows = [row for row in watched.state.log_history if "dyn/sharpness" in row]
    assert [row["step"] for row in rows] == list(range(4))
    assert [row["dyn/sharpness"] for row in rows] == history["sharpness"].tolist()
    # Its own loss of the same steps, which it rounds to four digits or so.
    losses = [row["loss"] for row in watched.state.log_history if "loss" in row]
    assert history["loss"].tolist() == pytest.approx(losses[:4], abs=2e-4)


def test_a_checkpoint_carries_the_history_on(tmp_path):
    fit(tmp_path, [TransformersMonitor(max_overhead=math.inf)], steps=2)
    callback = TransformersMonitor(max_overhead=math.inf)
    fit(tmp_path, [callback], steps=4, resume=str(tmp_path / "checkpoint-2"))
    assert len(callback.monitor.history) == 4
    assert callback.monitor.history["sharpness"].notna().all()


def untrained(folder, **options):
    args = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=8, report_to=[], use_cpu=True, seed=0,
        disable_tqdm=True, save_strategy="no", **options,
    )  # fmt: skip
    trainer = transformers.Trainer(model=classifier(), args=args, train_dataset=Tokens())
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def test_a_rate_is_found_for_a_trainer_and_nothing_of_it_changes(tmp_path):
    plan = {"max_steps": 40, "learning_rate": 1e-9, "warmup_steps": 4}
    trainer, twin = (untrained(tmp_path / name, **plan) for name in ("one", "two"))
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.bert.embeddings.eval()
    modes = [module.training for module in trainer.model.modules()]
    found = suggest_trainer_lr(trainer, budget="10m", progress=False)
    assert (found.steps, found.planned_steps) == (40, 40)
    assert found.optimizer == "AdamW"
    assert found.rate > 1e-5
    assert "Raise it to" in found.summary()
    assert trainer.optimizer is None
    assert [module.training for module in trainer.model.modules()] == modes
    assert all(torch.equal(v, weights[k]) for k, v in trainer.model.state_dict().items())
    # Trained afterwards it is the same as one that nobody asked.
    for one in (trainer, twin):
        one.args.learning_rate = found.rate
        torch.manual_seed(1)
        one.train()
    for name, value in twin.model.state_dict().items():
        assert torch.equal(value, trainer.model.state_dict()[name]), name
