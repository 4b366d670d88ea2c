"""What the server runs."""

import json
from pathlib import Path

from digits_flower.task import ALGORITHM, CLIENTS, ROUNDS, model
from overparam.federated.flower import server_app


def finished(parameters, history, context) -> None:
    """Print the rounds; write them and the model where the configuration says."""
    for row in history:
        print(row)
    if context.run_config["result"]:
        numbers = {name: part.tolist() for name, part in parameters.items()}
        content = json.dumps({"history": history, "parameters": numbers})
        Path(context.run_config["result"]).write_text(content, encoding="utf-8")


app = server_app(model, ALGORITHM, n_clients=CLIENTS, rounds=ROUNDS, finished=finished)
