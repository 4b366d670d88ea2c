"""Pairs of domains: labelled source rows, target rows, and the labels that only judges see."""

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits

from overparam.datasets.named import load

Domains = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
CLASSES, EACH = 10, 40


def spurious(seed: int) -> Domains:
    """400 rows each; the strongest features of the source say nothing in the target."""
    draw = np.random.default_rng(seed)
    stays = 1.8 * draw.normal(size=(CLASSES, 8))
    goes = 1.5 * draw.normal(size=(CLASSES, 8))
    turn = np.linalg.qr(draw.normal(size=(40, 40)))[0]
    offset = draw.normal(size=40)
    y = np.repeat(np.arange(CLASSES), EACH)

    def rows(second: np.ndarray) -> np.ndarray:
        first = stays[y] + draw.normal(size=(len(y), 8))
        return np.hstack([first, second, 3 * draw.normal(size=(len(y), 24))])

    source = rows(goes[y] + draw.normal(size=(len(y), 8)))
    target = rows(2.5 * draw.normal(size=(len(y), 8))) + offset
    return source @ turn, y, target @ turn, y


def clutter(seed: int) -> Domains:
    """400 digits each under blocks of 4 × 4 pixels of noise, more and turned in the target."""
    draw = np.random.default_rng(seed)
    pixels, classes = map(np.asarray, load_digits(return_X_y=True))
    order = draw.permutation(len(pixels))
    source, target = order[:400], order[400:800]

    def blocks() -> np.ndarray:
        return np.kron(draw.normal(size=(400, 2, 2)), np.ones((4, 4))).reshape(400, 64)

    turned = [rotate(image, 12, reshape=False, order=1) for image in
              pixels[target].reshape(-1, 8, 8) / 16]  # fmt: skip
    x = pixels[source] / 16 + 0.3 * blocks()
    return x, classes[source], np.reshape(turned, (400, 64)) + blocks(), classes[target]


def skewed(seed: int) -> Domains:
    """Digits without a shift, but the target has ten times as many even ones as odd ones."""
    draw = np.random.default_rng(seed)
    pixels, classes = map(np.asarray, load_digits(return_X_y=True))
    order = draw.permutation(len(pixels))
    source, rest = order[:500], order[500:]
    kept = rest[draw.random(len(rest)) < np.where(classes[rest] % 2, 0.1, 1.0)][:500]
    return pixels[source] / 16, classes[source], pixels[kept] / 16, classes[kept]


def transfer(way: str, seed: int) -> Domains:
    """700 digits each, such as "usps to mnist", of the test parts, kept aside till the end."""
    draw = np.random.default_rng(seed)
    parts = []
    for name in way.split(" to "):
        stored = load(name)
        chosen = draw.choice(len(stored.x_test), 700, replace=False)
        images = np.asarray(stored.x_test[chosen], dtype=np.float64) / 255
        images = images.reshape(700, *images.shape[1:3])
        areas = area_means(images.shape[1], 16)
        parts += [(areas @ images @ areas.T).reshape(700, -1), stored.y_test[chosen].astype(int)]
    return parts[0], parts[1], parts[2], parts[3]


def area_means(n: int, m: int) -> np.ndarray:
    """Means over m equal parts of n pixels, which may cut pixels, shape ``(m, n)``."""
    ends, pixels = np.linspace(0, n, m + 1), np.arange(n)
    overlap = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    return np.maximum(overlap, 0) * m / n
