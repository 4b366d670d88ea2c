"""The table of loops: what the Trainer of Hugging Face Transformers trains, and how."""

import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from loops import SEVERAL, check, watched_and_not  # noqa: E402

from overparam.integrations.trainer_loss import trainer_loss  # noqa: E402
from overparam.integrations.transformers import TransformersMonitor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
SMALL = {
    "vocab_size": 24, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 8,
}  # fmt: skip
GPT2 = {"vocab_size": 24, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}


class Rows(torch.utils.data.Dataset):
    """Made of tensors by name."""

    def __init__(self, **columns) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i):
        return {name: value[i] for name, value in self.columns.items()}


def tokens(n=12):
    return torch.randint(1, 24, (n, 6), generator=torch.Generator().manual_seed(0))


IDS = tokens()
TEXT = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
IMAGES = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def bert(head, **options):
    config = transformers.BertConfig(**SMALL, **options)
    return getattr(transformers, f"BertFor{head}")(config)


def causal():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))


def seq2seq():
    config = transformers.T5Config(
        vocab_size=24, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def vision():
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=8, patch_size=4, num_channels=1, num_labels=3,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config)


class Adapted(nn.Module):
    """A frozen model with a small matrix beside its last layer, as adapters of low rank are."""

    def __init__(self, model) -> None:
        super().__init__()
        self.base_model = SimpleNamespace(model=model)
        self.inner = model.requires_grad_(False)
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 24, bias=False)
        self.config = model.config

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        out = self.inner(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        )
        logits = out.logits + self.up(self.down(out.hidden_states[-1]))
        loss = None if labels is None else self.loss_function(logits, labels, vocab_size=24)
        return transformers.modeling_outputs.CausalLMOutput(loss=loss, logits=logits)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class Plain(nn.Module):
    """A module of one's own that returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, pixel_values, labels=None):
        score = self.net(pixel_values)
        loss = {} if labels is None else {"loss": functional.cross_entropy(score, labels)}
        return {**loss, "score": score}


class Twofold(Plain):
    """One whose loss is of two kinds of outputs, so that nobody can take it apart."""

    def forward(self, pixel_values, labels=None):
        score, size = self.net(pixel_values), pixel_values.square().mean()
        penalty = score.square().mean() * size
        return {"loss": functional.cross_entropy(score, labels) + penalty, "score": score}


class OwnLoss(transformers.Trainer):
    """A loss as people write it."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        weight = torch.tensor([1.0, 2.0, 3.0])
        loss = functional.cross_entropy(outputs.logits, labels, weight=weight)
        self.count = getattr(self, "count", 0) + 1
        self.log({"count": self.count})
        return (loss, outputs) if return_outputs else loss


def classes(labels=3):
    return {**TEXT, "labels": IDS[:, 0] % labels}


def trainer(model, data, folder, callbacks=(), *, kind=transformers.Trainer, func=None, **options):
    steps = options.pop("max_steps", 2)
    # AdamW has no limit of stability in its first steps.
    options = {"per_device_train_batch_size": 4, "save_strategy": "no", "optim": "sgd", **options}
    args = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, report_to=[], logging_steps=1, use_cpu=True,
        seed=0, disable_tqdm=True, learning_rate=1e-2, **options,
    )  # fmt: skip
    made = kind(
        model=model, args=args, train_dataset=Rows(**data), callbacks=list(callbacks),
        **({} if func is None else {"compute_loss_func": func}),
    )  # fmt: skip
    made.remove_callback(transformers.PrinterCallback)
    return made


def loop(make, data, folder, given=None, **options):
    """A run of the Trainer, with the monitor or without, and where its log ends up."""
    logs = []

    def run(watch):
        torch.manual_seed(0)
        callback = TransformersMonitor(max_overhead=math.inf, **(given or {}))
        made = trainer(make(), data, folder / str(watch), [callback] * watch, **options)
        made.train()
        assert not made.model._forward_hooks
        assert "training_step" not in vars(made)
        logs[:] = [row for row in made.state.log_history if "loss" in row]
        run.trainer = made
        return made.model.state_dict(), callback.monitor

    run.logs = logs
    return run


# The kernel of so many outputs would cost more than a probe may.
LANGUAGE = {**SEVERAL, "kernel": "144 outputs for an example, more than 128"}
CANNOT = r"expected a loss that is a function of outputs and labels.*pass loss="
UNKNOWN = dict.fromkeys(("sharpness", "batch", "split", "kernel", "inputs"), CANNOT)


def three(**options):
    return bert("SequenceClassification", num_labels=3, **options)


def halved(outputs, labels, **kwargs):
    return 0.5 * functional.cross_entropy(outputs.logits, labels)


PICTURES = {"pixel_values": IMAGES, "labels": IDS[:, 0] % 3}
NEXT = {**TEXT, "labels": IDS}
ENDS = {**TEXT, "start_positions": IDS[:, 0] % 6, "end_positions": IDS[:, 1] % 9}
# Model, data, options of the Trainer, and what is not filled with what is said of it.
TABLE = {
    "classification": (three, classes(), {}, SEVERAL),
    "regression": (
        lambda: bert("SequenceClassification", num_labels=1),
        {**TEXT, "labels": torch.linspace(0, 1, 12)}, {}, SEVERAL,
    ),
    "several labels": (
        lambda: three(problem_type="multi_label_classification"),
        {**TEXT, "labels": functional.one_hot(IDS[:, 0] % 3, 3).float()}, {}, SEVERAL,
    ),
    "label smoothing": (three, classes(), {"label_smoothing_factor": 0.2}, SEVERAL),
    "own compute_loss": (three, classes(), {"kind": OwnLoss}, SEVERAL),
    "compute_loss_func": (three, classes(), {"func": halved}, SEVERAL),
    "tuple outputs": (lambda: three(return_dict=False), classes(), {}, SEVERAL),
    "question answering": (lambda: bert("QuestionAnswering"), ENDS, {}, SEVERAL),
    "question answering, tuples": (
        lambda: bert("QuestionAnswering", return_dict=False), ENDS, {}, SEVERAL,
    ),
    "tokens": (
        lambda: bert("TokenClassification", num_labels=3),
        {**TEXT, "labels": IDS % 3}, {}, SEVERAL,
    ),
    "masked language model": (
        lambda: bert("MaskedLM"),
        {**TEXT, "labels": torch.where(IDS < 12, IDS, -100)}, {}, LANGUAGE,
    ),
    "causal language model": (causal, NEXT, {}, LANGUAGE),
    "causal, label smoothing": (causal, NEXT, {"label_smoothing_factor": 0.1}, LANGUAGE),
    "causal, accumulation, short last group": (
        llama, {**TEXT, "labels": torch.where(IDS > 3, IDS, -100)},
        {"gradient_accumulation_steps": 2, "max_steps": 4}, LANGUAGE,
    ),
    "sequence to sequence": (seq2seq, {"input_ids": IDS, "labels": IDS.flip(1)}, {}, LANGUAGE),
    "image classification": (vision, PICTURES, {}, SEVERAL),
    "adapters on a frozen model": (lambda: Adapted(causal()), NEXT, {}, LANGUAGE),
    "a module of one's own": (Plain, PICTURES, {}, SEVERAL),
    "a loss that cannot be told": (Twofold, PICTURES, {}, UNKNOWN),
    "in bfloat16": (three, classes(), {"bf16": True}, SEVERAL),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_loss_is_the_trainer_s_and_nothing_changes(name, tmp_path):
    make, data, options, empty = TABLE[name]
    run = loop(make, data, tmp_path, **options)
    history = check(run, empty, steps=options.get("max_steps", 2))
    losses = [row["loss"] for row in run.logs]
    assert history["loss"].tolist() == pytest.approx(losses, abs=2e-4)  # which it rounds


def test_what_a_trainer_keeps_account_of_is_its_own(tmp_path):
    make, data, options, _ = TABLE["own compute_loss"]
    run = loop(make, data, tmp_path, **options)
    run(True)
    assert run.trainer.count == 2
    assert [row["count"] for row in run.trainer.state.log_history if "count" in row] == [1, 2]


@pytest.mark.parametrize("name", [n for n in TABLE if TABLE[n][-1] is not UNKNOWN])
def test_the_loss_taken_apart_is_the_trainer_s_on_other_batches_too(name, tmp_path):
    make, data, options, _ = TABLE[name]
    made = trainer(make(), data, tmp_path, **options)
    first, other = ({k: v[part] for k, v in data.items()} for part in (slice(4), slice(4, 12)))
    found = trainer_loss(made, made.model.train(), first)
    assert made.model.training
    x, targets = found.pair(other)
    made.model.eval()
    apart = found.loss(found.forward(made.model, x), targets)
    assert float(apart) == pytest.approx(float(made.compute_loss(made.model, other)), rel=1e-5)


def test_a_given_loss_that_is_another_is_said_to_be_and_used(tmp_path):
    def unshifted(outputs, labels):
        return functional.cross_entropy(outputs.flatten(0, 1), labels.flatten())

    run = loop(causal, {**TEXT, "labels": IDS}, tmp_path, {"loss": unshifted})
    monitor, said = watched_and_not(run)
    assert said.startswith("TransformersMonitor was given a loss that is not the one trained on: ")
    assert "sharpness" in monitor.history


class Broken(OwnLoss):
    """Stopped in the middle of a step, where the hand of a user stops it."""

    at = "loss"

    def compute_loss(self, *args, **kwargs):
        if self.at == "loss" and self.state.global_step == 1:
            raise KeyboardInterrupt
        return super().compute_loss(*args, **kwargs)

    def create_scheduler(self, *args, **kwargs):
        made = super().create_scheduler(*args, **kwargs)
        if self.at == "rate":
            made.step = self.stop
        return made

    def stop(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["loss", "rate"])
def test_nothing_stays_of_a_training_that_is_broken_off(at, tmp_path):
    callback = TransformersMonitor(probes=[])
    made = trainer(three(), classes(), tmp_path, [callback], kind=Broken)
    made.at = at
    with pytest.raises(KeyboardInterrupt):
        made.train()
    assert "training_step" not in vars(made)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.model.modules())
    assert "forward" not in vars(made.model)
    made.at = "nowhere"
    first = callback.monitor
    made.train()  # and it can be trained again
    assert len(first.history) == 1
    assert len(callback.monitor.history) == 2


def test_a_training_that_is_not_a_trainer_s_is_said_to_tell_nothing(tmp_path):
    model = Plain()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callback, state = TransformersMonitor(), transformers.TrainerState()
    args = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    given = {"model": model, "optimizer": optimizer}
    callback.on_train_begin(args, state, None, **given)
    callback.on_step_begin(args, state, None, **given)
    with pytest.warns(RuntimeWarning, match="was told of no loss in this run"):
        callback.on_pre_optimizer_step(args, state, None, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callback.on_pre_optimizer_step(args, state, None, **given)  # said once


class Untold(transformers.trainer_callback.CallbackHandler):
    """As in a loop of one's own inside a Trainer, which tells of fewer things."""

    def on_pre_optimizer_step(self, args, state, control):
        return control


def test_a_trainer_that_tells_of_no_step_is_said_to_once(tmp_path):
    made = trainer(Plain(), PICTURES, tmp_path, [callback := TransformersMonitor(probes=[])])
    made.callback_handler.__class__ = Untold
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.train()
    said = [str(w.message) for w in caught if "was told of no loss in this run" in str(w.message)]
    assert len(said) == 1
    assert len(callback.monitor.history) == 0


def test_a_checkpoint_from_elsewhere_carries_the_history_on(tmp_path):
    make, data, _, _ = TABLE["a module of one's own"]
    options = {"max_steps": 2, "save_steps": 2, "save_strategy": "steps"}
    callback = TransformersMonitor(probes=[])
    trainer(make(), data, tmp_path / "there", [callback], **options).train()
    again = TransformersMonitor(probes=[])
    made = trainer(make(), data, tmp_path / "here", [again], **options | {"max_steps": 4})
    made.train(resume_from_checkpoint=str(tmp_path / "there" / "checkpoint-2"))
    assert len(again.monitor.history) == 4
    assert again.monitor.history["loss"][:2].tolist() == callback.monitor.history["loss"].tolist()


def test_a_checkpoint_without_a_monitor_s_state_is_said_to_have_none(tmp_path):
    make, data, _, _ = TABLE["a module of one's own"]
    options = {"max_steps": 2, "save_steps": 2, "save_strategy": "steps"}
    trainer(make(), data, tmp_path, **options).train()
    callback = TransformersMonitor(probes=[])
    made = trainer(make(), data, tmp_path, [callback], **options | {"max_steps": 4})
    with pytest.warns(RuntimeWarning, match="begins its record anew, after FileNotFoundError"):
        made.train(resume_from_checkpoint=True)
    assert len(callback.monitor.history) == 2
