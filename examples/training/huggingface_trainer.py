"""
A monitor in the Hugging Face Trainer
=====================================

``TransformersMonitor`` is a callback of ``transformers.Trainer``; the numbers appear in
``trainer.state.log_history``. A small BERT, made here and not downloaded, learns to say which of
its tokens comes first. Needs ``pip install 'overparam[transformers]'``.
"""

import math
import tempfile
import warnings

import matplotlib.pyplot as plt
import torch
import transformers

from overparam.dynamics.probes import Norms, Sharpness
from overparam.integrations.transformers import TransformersMonitor

warnings.filterwarnings("ignore", module="torch|transformers|accelerate")
torch.manual_seed(0)
tokens = torch.randint(0, 8, (512, 6))
rows = [{"input_ids": row, "labels": row[0]} for row in tokens]
config = transformers.BertConfig(
    vocab_size=8, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=8, num_labels=8,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip

# %%
# One more callback; nothing else changes. Two probes at every step, for the picture.
callback = TransformersMonitor(probes=[Norms(), Sharpness()], max_overhead=math.inf)
settings = transformers.TrainingArguments(
    output_dir=tempfile.mkdtemp(), max_steps=40, per_device_train_batch_size=32,
    learning_rate=3e-3, seed=0, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True,
)  # fmt: skip
model = transformers.BertForSequenceClassification(config)
trainer = transformers.Trainer(model, settings, train_dataset=rows, callbacks=[callback])
trainer.remove_callback(transformers.PrinterCallback)
trainer.train()

# %%
# The numbers are in the trainer's log as well as in the monitor's own record.
history = callback.monitor.history
print(next(row for row in trainer.state.log_history if "dyn/sharpness" in row))
fig, (top, bottom) = plt.subplots(2, sharex=True)
top.plot(history["loss"])
top.set(ylabel="loss of the batch")
bottom.semilogy(history["stability_ratio"])
bottom.axhline(1.0, color="k", linestyle="--")
bottom.set(xlabel="step", ylabel="rate / critical rate")
