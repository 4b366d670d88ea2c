"""The figures of a diagnosis, in the order they are read."""

from collections.abc import Mapping

from overparam.report.figures.curvature import (
    batch_rates_figure,
    kernel_figure,
    sharpness_figure,
    spectrum_figure,
)
from overparam.report.figures.figure import Figure
from overparam.report.figures.inputs import inputs_figure
from overparam.report.figures.labels import labels_figure, scores_figure
from overparam.report.figures.noise import noise_figure
from overparam.report.figures.rates import edge_figure, race_figure, rate_sweep_figure
from overparam.report.figures.training import loss_figure, norms_figure, split_figure

ORDER = (
    rate_sweep_figure,
    loss_figure,
    sharpness_figure,
    norms_figure,
    split_figure,
    kernel_figure,
    batch_rates_figure,
    noise_figure,
    spectrum_figure,
    labels_figure,
    scores_figure,
    inputs_figure,
    edge_figure,
    race_figure,
)


def diagnosis_figures(document: Mapping) -> list[Figure]:
    """The figures whose series were measured."""
    drawn = (draw(document) for draw in ORDER)
    return [figure for figure in drawn if figure is not None]
