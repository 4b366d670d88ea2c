from .accelerated_solve import accelerated_solve
from .acceleration import (
    chebyshev_weights,
    heavy_ball_parameters,
    nesterov_momentum,
    rho_for_budget,
    spectral_error,
    spectral_rate,
)
from .aiming import aiming_constant, aiming_step_size, iterations_bound
from .critical_rate import critical_learning_rate
from .gradient_noise import gradient_noise_scale
from .hyperparameters import (
    InterpolationConstants,
    MassHyperparameters,
    critical_batch_sizes,
    interpolation_constants,
    mass_constants,
    mass_hyperparameters,
)
from .interpolation import (
    Projection,
    SquareLossConstants,
    flat_outputs,
    project_to_interpolation,
    square_loss_constants,
)
from .mass import MaSS
from .mass_step import mass_coefficients, mass_step
from .noise_scale import NoiseScale, noise_scale, noise_scale_from_norms
from .second_moment import (
    SampledQuadratic,
    decoupled_quadratic,
    gaussian_quadratic,
    second_moment_rate,
)
from .stability import Stability, has_stability_limit, stability

__all__ = [
    "InterpolationConstants",
    "MaSS",
    "MassHyperparameters",
    "NoiseScale",
    "Projection",
    "SampledQuadratic",
    "SquareLossConstants",
    "Stability",
    "accelerated_solve",
    "aiming_constant",
    "aiming_step_size",
    "chebyshev_weights",
    "critical_batch_sizes",
    "critical_learning_rate",
    "decoupled_quadratic",
    "flat_outputs",
    "gaussian_quadratic",
    "gradient_noise_scale",
    "has_stability_limit",
    "heavy_ball_parameters",
    "interpolation_constants",
    "iterations_bound",
    "mass_coefficients",
    "mass_constants",
    "mass_hyperparameters",
    "mass_step",
    "nesterov_momentum",
    "noise_scale",
    "noise_scale_from_norms",
    "project_to_interpolation",
    "rho_for_budget",
    "second_moment_rate",
    "spectral_error",
    "spectral_rate",
    "square_loss_constants",
    "stability",
]
