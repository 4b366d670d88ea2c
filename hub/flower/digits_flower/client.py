"""What every client runs."""

from digits_flower.task import ALGORITHM, BATCH, STEPS, model, own
from overparam.federated.flower import client_app

app = client_app(model, own, ALGORITHM, local_steps=STEPS, batch_size=BATCH)
