"""Draw label-noise.svg: the digits whose labels a network finds most suspicious."""

import base64
import io
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from overparam import LabelNoiseScorer

COLUMNS, ROWS, SIDE, STEP, TOP = 8, 2, 64, 78, 62


def suspects() -> tuple[LabelNoiseScorer, torch.Tensor]:
    """A scorer after 20 epochs on digits of which one label in five is random; which are."""
    pixels, digit = load_digits(return_X_y=True)
    x, true = torch.tensor(pixels[:1000] / 8 - 1).float(), torch.tensor(digit[:1000])
    draw = torch.Generator().manual_seed(0)
    wrong = torch.rand(1000, generator=draw) < 0.2
    given = torch.where(wrong, (true + torch.randint(1, 10, (1000,), generator=draw)) % 10, true)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scorer = LabelNoiseScorer(1000, 10)
    for _ in range(20):
        for ids in torch.randperm(1000, generator=draw).split(64):
            logits = model(x[ids])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, given[ids]).backward()
            optimizer.step()
            scorer.update(logits, given[ids], ids)
        scorer.end_epoch()
    return scorer, wrong


def picture() -> str:
    """The most suspicious digits, in order."""
    scorer, wrong = suspects()
    issues = scorer.issues().sort_values("score", ascending=False)
    first = issues.index[: COLUMNS * ROWS]
    right = int(wrong.numpy()[first].sum())
    images = load_digits().images
    height = TOP + ROWS * (SIDE + 34)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" width="640" '
        f'height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="640" height="{height}" fill="white"/>',
        f'<text x="8" y="24" font-size="15" font-weight="bold">Of the {len(first)} most '
        f"suspicious labels, {right} were replaced at random</text>",
        '<text x="8" y="44" fill="#555">label given → label predicted; 1000 digits, '
        f"{100 * float(wrong.double().mean()):.0f} % of the labels wrong</text>",
    ]
    for place, index in enumerate(first):
        left, top = 8 + STEP * (place % COLUMNS), TOP + (SIDE + 34) * (place // COLUMNS)
        data = io.BytesIO()
        grey = (255 - images[index] * 255 / 16).astype("uint8")
        Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(data, "PNG")
        row = issues.loc[index]
        lines += [
            f'<image x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" '
            f'href="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"/>',
            f'<text x="{left + SIDE / 2}" y="{top + SIDE + 18}" text-anchor="middle">'
            f"{row['given_label']:.0f} → {row['predicted_label']:.0f}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("label-noise.svg").write_text(picture(), encoding="utf-8")
