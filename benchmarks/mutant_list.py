"""Small changes of the functions that the studies rest on, and what ought to notice each.

A `Mutant` is data: a place ("module:function" below `overparam`), a piece of its body that occurs
there once, what stands there instead, the tests and the cells of studies that ought to see it.
Cells are single and small, as those of `tests/studies/test_anchors.py`. Where no study has a cell
that calls the function, or only trainings of minutes do, none is named and none is counted.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One small cell of a study, and the claims that are judged on it alone."""

    study: str
    claims: tuple[str, ...]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """A place, a change, the tests and the cells (keys of `CELLS`) that each ought to notice."""

    place: str
    old: str
    new: str
    tests: tuple[str, ...]
    cells: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """One line."""
        return f"{self.place}: {self.old} -> {self.new or '(nothing)'}"


_PL = {"at": 2**14, "runs": 2}
_FORMULA = {"measure": "formula", "noised": "scalars", "epsilon": "5", "number": 5}
_BLANK = {"width": 0, "edge": 0.0, "rate": "", "gates": "", "gamma": 0.0, "data": "",
          "n_train": 0, "n_test": 0, "steps": 0, "scaling": ""}  # fmt: skip
_CLOSED = {"measure": "closed form", "rho": 0.1, "steps": 30}
_NONE = {"data": "none", "n": 2, "width": 0}
_RADII = ("radius_and_spectrum",)
_PLSTUDY, _RELU = "liu2022_pl_condition", "liu2023_relu_conditioning"
CELLS = {
    "one layer": Cell(
        "liu2020_kernel_constancy", ("motivating_model",),
        {"measure": "one layer", "model": "linear output", "width": 16, "narrow": 0},
    ),
    "path": Cell(_PLSTUDY, _RADII, {"measure": "certificate", "kind": "path", **_PL}),
    # The paper's ball needs more units.
    "paper": Cell(
        _PLSTUDY, _RADII, {"measure": "certificate", "kind": "paper", "at": 2**18, "runs": 2}
    ),
    "descent": Cell(
        _PLSTUDY,
        ("bound_holds", "path_within_ball", "mu_holds_in_the_ball", "lipschitz_holds_in_the_ball",
         "certified_step"),
        {"measure": "descent", "kind": "path", **_PL},
    ),
    "sgd": Cell(
        _PLSTUDY, ("sgd_bound", "step_of_sgd"),
        {"measure": "sgd", "at": 1, "kind": "independent", "runs": 2},
    ),
    "parallel": Cell(
        _PLSTUDY, ("corrected_step_is_safe", "step_of_sgd"),
        {"measure": "sgd", "at": 1_000_000, "kind": "parallel", "runs": 2},
    ),
    "almost": Cell(
        _PLSTUDY, ("almost_reaches_epsilon", "steps_down_to_epsilon"),
        {"measure": "almost", "at": 60, "kind": "", "runs": 2},
    ),
    "assembly": Cell(
        "liu2022_weak_models", ("block_identity", "gradient_identity"),
        {"measure": "assembly", "model": "equal", "number": 4},
    ),
    "graph": Cell(
        "zhu2022_dag_linearity", ("dense_derivatives",),
        {"measure": "oracle", "family": "wide in-degree", "m": 4},
    ),
    "right angle": Cell(
        _RELU, ("orthogonal_inputs",), {"measure": "orthogonal", "depth": 1, **_NONE}
    ),
    "small angle": Cell(
        _RELU, ("small_angles_grow_as_root", "small_angles_by_cosines"),
        {"measure": "small angle", "depth": 1, **_NONE},
    ),
    "turning": Cell(
        _RELU, ("turning_point",), {"measure": "turning point", "depth": 1, **_NONE}
    ),
    "limit": Cell(
        _RELU, ("condition_limit_2", "diagonal_by_depth"),
        {"measure": "limit", "data": "gaussian", "depth": 30_000, "n": 2, "width": 0},
    ),
    "repeated": Cell(
        _RELU, ("repeated_input_is_singular",),
        {"measure": "repeated", "data": "gaussian", "depth": 2, "n": 20, "width": 0},
    ),
    "powers": Cell(
        "marreddy2026_label_alignment", ("bounds_are_those_of_powers",),
        {"measure": "brute force", "data": "none", "labels": "none", "n": 20, "width": 0},
    ),
    "exponents": Cell(
        "marreddy2026_label_alignment", ("label_exponent_digits", "residual_exponent_digits"),
        {"measure": "alignment", "data": "digits", "labels": "one-hot", "n": 3, "width": 64},
    ),
    "nesterov": Cell(
        "liu2018_parametrized_acceleration", ("closed_forms",), {"method": "nesterov", **_CLOSED}
    ),
    "heavy ball": Cell(
        "liu2018_parametrized_acceleration", ("closed_forms",), {"method": "heavy_ball", **_CLOSED}
    ),
    "chebyshev": Cell(
        "liu2018_parametrized_acceleration", ("closed_forms",), {"method": "chebyshev", **_CLOSED}
    ),
    "update": Cell(
        "liu2020_mass", ("update_is_the_authors",), {"measure": "update", "steps": 20}
    ),
    "equality": Cell("liu2023_aiming", ("closed_forms",), {"measure": "equality"}),
    "samples": Cell("liu2023_clean_priority", ("ratio_by_samples",), {"measure": "oracle"}),
    "rfm": Cell("radhakrishnan2024_rfm", ("agop_by_autograd",), {"measure": "oracle"}),
    "xrfm": Cell(
        "beaglehole2025_xrfm", ("agop_by_autograd",),
        {"test": "oracle", "method": "lpq", "rows": 0},
    ),
    "irkm": Cell("zhu2025_irkm", ("derivatives_by_autograd",), {"measure": "derivatives"}),
    "grokking": Cell(
        "mallinar2025_modular_grokking", ("closed_forms",),
        {"test": "gradients", "experiment": "gradients"},
    ),
    "catapults": Cell(
        "zhu2024_sgd_catapults",
        ("agop_by_formula", "critical_rate_at_least", "critical_rate_at_most"),
        {"measure": "oracle", "task": "x1x2", "setting": "", "factor": 0.0, "width": 32,
         "n": 256, "steps": 40},
    ),
    "recursion": Cell(
        "zhu2024_quadratic_catapult", ("kernel_recursion",), {**_BLANK, "measure": "recursion"}
    ),
    "order": Cell(
        "liu2016_bregman_quantization", ("order_2",),
        {"measure": "order", "r": 2, "hessian": True},
    ),
    "spurious": Cell(
        "jin2020_otda", ("every_seed_gains", "scatters_by_pairs"), {"task": "spurious"}
    ),
    "turns": Cell(
        "jin2021_wasserstein_procrustes",
        ("one_sided_coupling", "one_sided_rotation", "half_a_round"),
        {"measure": "turns"},
    ),
    "falls": Cell(
        "jin2021_wasserstein_procrustes", ("the_objective_never_rises",), {"measure": "falls"}
    ),
    "corrected": Cell(
        "chen2025_fadamgc", ("corrected_before_the_moments",),
        {"measure": "quadratics", "method": "keep", "how": "constant", "rounds": 400},
    ),
    "hubs": Cell(
        "sharma2025_hubs_and_spokes", ("consensus_factor", "consensus_error"),
        {"measure": "mixing", "topology": "hubs 120", "number": 2000},
    ),
    "promise": Cell(
        "zhang2025_dpzv",
        ("conventions_differ_by_two", "the_published_formula_keeps_less", "planned_noise"),
        _FORMULA,
    ),
    "estimate": Cell(
        "zhang2025_dpzv", ("two_points_estimate_the_gradient",),
        {"measure": "estimator", "noised": "sphere", "epsilon": "inf", "number": 40_000},
    ),
}  # fmt: skip


def _of(place: str, file: str, *changes: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one function: what was, what is instead, the test of a file, the cells."""
    return [
        Mutant(place, old, new, (f"tests/{file}.py::{test}" if test else f"tests/{file}.py",),
               tuple(cells))
        for old, new, test, *cells in changes
    ]  # fmt: skip


# What a referee had changed without any study noticing comes first.
SABOTAGES = [
    *_of("tangents.input_gradients:agop", "tangents/test_input_gradients",
         ("return total / len(x)", "return torch.diag(total.diagonal()) / len(x)",
          "test_agop_equals_the_jacobians_product", "catapults")),
    *_of("kernels.functions:Laplace.slopes_", "kernels/test_functions",
         ("torch.div(scaled.exp2(), scaled, out=scaled)", "scaled.exp2().neg()",
          "test_values_and_gradients_are_those_of_the_formula", "irkm", "rfm")),
    *_of("tangents.empirical:_kernel", "tangents/test_empirical",
         ("kernel /= plan.outputs", "kernel *= 2 / plan.outputs", "test_equals_dense_autograd",
          "one layer", "assembly", "graph")),
    *_of("tangents.pl.radius:smallest_radius", "tangents/pl/test_pl",
         ("4 * residual / (low", "2 * residual / (low",
          "test_the_radius_is_the_smallest_that_suffices", "path")),
    *_of("curvature.output_hessian:hessian_norm", "curvature/test_output_hessian",
         ("return norm", "return 3 * norm", "test_is_the_norm_of_the_dense_hessian", "one layer",
          "assembly", "graph")),
    *_of("tangents.loss_bounds:_Spectrum.decay", "tangents/test_loss_bounds",
         (".square()", ".abs()", "test_is_the_loss_of_gradient_descent", "powers")),
    *_of("dynamics.aiming_monitor:AimingMonitor.finalize", "dynamics/test_aiming_monitor",
         ('"growth_final": 2 * excess', '"growth_final": excess', "", "equality")),
    *_of("optim.mass_step:coefficients", "optim/test_mass",
         ("(1 / kappa_t - alpha)", "(2 - 1 / kappa_t - alpha)",
          "test_eta_and_gamma_are_the_papers", "update")),
]  # fmt: skip
MUTANTS = [
    *SABOTAGES,
    *_of("tangents.input_gradients:agop", "tangents/test_input_gradients",
         ("return total / len(x)", "return total", "test_agop_equals_the_jacobians_product",
          "catapults")),
    *_of("tangents.empirical:_kernel", "tangents/test_empirical",
         ("if not (blocks or summed):", "if not blocks:", "test_equals_dense_autograd")),
    *_of("tangents.empirical:_assemble", "tangents/test_empirical",
         (".permute(2, 3, 0, 1)", "", "test_chunks_change_nothing")),
    *_of("curvature.output_hessian:OutputHessian._matvec", "curvature/test_output_hessian",
         (".detach()", ".detach() * 2", "test_is_the_norm_of_the_dense_hessian", "graph")),
    *_of("curvature.hessian:HessianOperator._matvec", "curvature/test_operators",
         ("return flat(product)", "return 2 * flat(product)", "test_hessian_matches_autograd")),
    *_of("tangents.pl.radius:smallest_radius", "tangents/pl/test_pl",
         ("c * (high + z)", "c * high", "test_the_radius_is_the_smallest_that_suffices", "paper"),
         ("8 * smoothness * residual", "4 * smoothness * residual",
          "test_the_radius_is_the_smallest_that_suffices", "path"),
         ("return 2 * residual / low if", "return residual / low if", "")),
    *_of("tangents.pl.radius:largest_smoothness", "tangents/pl/test_pl",
         ("(8 * residual)", "(4 * residual)", "", "path")),
    *_of("tangents.pl.certificate:concluded", "tangents/pl/test_pl",
         ("(low - smoothness * found) ** 2", "(low - smoothness * found)",
          "test_the_certified_run_keeps_every_promise", "path"),
         ("high + smoothness * found", "high - smoothness * found",
          "test_the_certified_run_keeps_every_promise", "descent")),
    *_of("tangents.pl.jacobian_smoothness:two_layer_smoothness", "tangents/pl/test_pl",
         ("columns * spread * float", "columns * float", "test_the_formula_of_the_closed_form",
          "path")),
    *_of("tangents.pl.step_sizes:gd_step_size", "tangents/pl/test_step_sizes",
         ("lipschitz**2 + smoothness * residual", "lipschitz**2", "test_gd_step", "descent")),
    *_of("tangents.pl.step_sizes:sgd_step_size", "tangents/pl/test_step_sizes",
         ("n * smoothness + total", "smoothness + total",
          "test_both_conventions_are_the_same_method", "parallel"),
         ("1 - lr * total * batch_size / n", "1 - lr * total * batch_size",
          "test_the_mean_loss_stays_below_its_bound", "sgd")),
    *_of("tangents.pl.step_sizes:pl_down_to", "tangents/pl/test_step_sizes",
         ("1 - mu / smoothness", "1 - (mu / smoothness) ** 0.5",
          "test_gradient_descent_down_to_a_level", "almost"),
         ("2 * math.sqrt(2 * smoothness", "math.sqrt(2 * smoothness",
          "test_gradient_descent_down_to_a_level")),
    *_of("tangents.loss_bounds:linearized_loss", "tangents/test_loss_bounds",
         ("0.5 * spectrum", "spectrum", "test_is_the_loss_of_gradient_descent", "powers")),
    *_of("tangents.loss_bounds:spectral_loss_bound", "tangents/test_loss_bounds",
         ("squares[~top].sum() / values.sum()", "squares[~top].sum()",
          "test_the_trace_is_exact_at_the_start_and_where_residuals_are_aligned", "powers")),
    *_of("tangents.loss_bounds:classical_loss_bound", "tangents/test_loss_bounds",
         (".amax(1)", ".amin(1)", "test_the_classical_bound_is_the_slowest_direction", "powers")),
    *_of("tangents.loss_bounds:generalization_bound", "tangents/test_loss_bounds",
         ("math.sqrt(2 * float(", "math.sqrt(float(", "test_generalisation_against_the_inverse",
          "powers"),
         ("squares.sum() / values[kept].square().sum()", "squares.sum() / values[kept].sum()",
          "test_generalisation_against_the_inverse", "powers")),
    *_of("tangents.alignment:_power_law", "tangents/test_alignment",
         ("dx @ dy / (dx @ dx)", "dx @ dy / (dy @ dy)", "test_recovers_the_exponent",
          "exponents")),
    *_of("tangents.alignment:_projected", "tangents/test_alignment",
         ("@ columns).square()", "@ columns).abs()",
          "test_projections_add_up_and_columns_are_averaged", "exponents")),
    *_of("tangents.power_law:PowerLaw.loss_exponent", "tangents/test_power_law",
         ("1 - 1 / self", "1 / self", "test_the_loss_falls_at_the_rate_that_follows")),
    *_of("optim.mass_step:coefficients", "optim/test_mass",
         ("(1 - alpha) / (1 + alpha)", "(1 - alpha) / (1 + 2 * alpha)",
          "test_eta_and_gamma_are_the_papers", "update")),
    *_of("optim.mass_step:_single", "optim/test_mass",
         ("g.add(buffer, alpha=gamma)", "g.add(buffer)", "test_it_is", "update"),
         (".mul_(gamma).add_(g, alpha=share)", ".add_(g, alpha=share).mul_(gamma)", "test_it_is",
          "update")),
    *_of("optim.mass:MaSS.from_eta_gamma", "optim/test_mass",
         ("1 - eta2 / bound", "1 + eta2 / bound", "test_eta_and_gamma_are_the_papers")),
    *_of("optim.acceleration:nesterov_momentum", "optim/test_acceleration",
         ("(1 - math.sqrt(rho))", "(1 - rho)", "test_the_envelope_of_nesterovs_method",
          "nesterov")),
    *_of("optim.acceleration:heavy_ball_parameters", "optim/test_acceleration",
         ("4 / (largest", "2 / (largest", "test_torch_runs_them", "heavy ball"),
         ("nesterov_momentum(rho) ** 2", "nesterov_momentum(rho)", "test_torch_runs_them",
          "heavy ball")),
    *_of("optim.acceleration:_chebyshev_weights", "optim/test_acceleration",
         ("1 / (2 * sigma_squared)", "1 / (4 * sigma_squared)",
          "test_the_error_is_the_recursions", "chebyshev")),
    *_of("optim.acceleration:spectral_error", "optim/test_acceleration",
         ("1 - 2 * s / (1 + rho)", "1 - s / (1 + rho)", "test_the_error_is_the_recursions",
          "heavy ball"),
         ("s, rho, steps - 1", "s, rho, steps", "test_the_error_is_the_recursions", "nesterov")),
    *_of("optim.acceleration:spectral_rate", "optim/test_acceleration",
         ("less * (2 - less)", "less", "test_the_rate_below_rho")),
    *_of("kernels.functions:PairKernel.gradient_blocks", "kernels/test_functions",
         (".sub_(part)", ".add_(part)", "test_values_and_gradients_are_those_of_the_formula",
          "rfm")),
    *_of("kernels.functions:Gaussian.slopes_", "kernels/test_functions",
         ("-(self.bandwidth**-2)", "-(self.bandwidth**-1)",
          "test_values_and_gradients_are_those_of_the_formula", "grokking")),
    *_of("kernels.functions:Quadratic.slopes_", "kernels/test_functions",
         ("mul_(2)", "mul_(1)", "test_values_and_gradients_are_those_of_the_formula",
          "grokking")),
    *_of("kernels.functions:DotExponential.slopes_", "kernels/test_functions",
         ("1 / self.scale", "self.scale", "test_values_and_gradients_are_those_of_the_formula",
          "irkm")),
    *_of("kernels.feature_matrix:_by_gram", "kernels/test_functions",
         ("- cross - cross.T", "- cross",
          "test_both_forms_of_the_agop_are_the_mean_of_outer_products", "rfm"),
         ("total -= means.T @ means", "total += means.T @ means",
          "test_both_forms_of_the_agop_are_the_mean_of_outer_products", "grokking")),
    *_of("kernels.feature_matrix:_shares", "kernels/test_functions",
         ("1 / len(like)", "1.0", "test_both_forms_of_the_agop_are_the_mean_of_outer_products",
          "xrfm")),
    *_of("kernels.feature_matrix:_Outer.add", "kernels/test_functions",
         ("share.sqrt()", "share", "test_both_forms_of_the_agop_are_the_mean_of_outer_products",
          "xrfm")),
    *_of("kernels.recursion:next_feature_matrix", "kernels/test_rfm",
         ("matrix / diagonal.max()", "matrix / diagonal.min()",
          "test_predictions_are_those_of_an_independent_recursion", "rfm"),
         ("matrix / diagonal.mean()", "matrix / diagonal.sum()",
          "test_by_trace_the_diagonal_is_1_on_average", "irkm")),
    *_of("kernels.powers:matrix_power_psd", "kernels/test_functions",
         ("(vectors * values.clamp_min(0) ** power)", "(vectors * values.clamp_min(0))",
          "test_a_power_is_that_of_the_eigenvalues")),
    *_of("tangents.infinite.angles:relu_deficit", "tangents/test_conditioning",
         ("before / math.pi", "before / (2 * math.pi)",
          "test_gradient_angles_to_the_printed_digits", "right angle")),
    *_of("tangents.infinite.angles:_next_angle", "tangents/test_conditioning",
         ("gap / (2 * math.pi)", "gap / math.pi", "test_gradient_angles_to_the_printed_digits",
          "right angle"),
         ("1 / 30", "1 / 20", "test_the_series_joins_the_formula", "small angle")),
    *_of("tangents.infinite.angles:model_gradient_angle", "tangents/test_conditioning",
         ("/ (depth + 1)", "/ (depth + 2)", "test_gradient_angles_to_the_printed_digits",
          "turning")),
    *_of("tangents.infinite.dense:_by_angles", "tangents/infinite/test_dense",
         ("layers.depth + 1 - relu", "layers.depth + 2 - relu", "test_scale_of_a_relu_network",
          "limit"),
         ("/ 2) ** layers.depth", "/ 2) ** (layers.depth + 1)",
          "test_angles_and_moments_give_the_same_relu_kernel", "right angle")),
    *_of("tangents.infinite.dense:_by_moments", "tangents/infinite/test_dense",
         ("signal + factor * tangent", "signal + tangent",
          "test_angles_and_moments_give_the_same_relu_kernel")),
    *_of("tangents.infinite.dual_activations:_relu", "tangents/infinite/test_dual_activations",
         ("(sine + open_angle * c) / (2", "(sine + open_angle * c) / (1",
          "test_relu_against_an_adaptive_integral_over_the_angle", "right angle")),
    *_of("tangents.infinite.dual_activations:_erf", "tangents/infinite/test_dual_activations",
         ("product - 4 * c**2", "product - 2 * c**2",
          "test_closed_forms_are_what_quadrature_gives")),
    *_of("linalg.spectra:matrix_extremes", "linalg/test_spectra",
         ("smallest if smallest > threshold else 0.0", "abs(smallest)",
          "test_duplicates_make_it_infinite_never_negative", "repeated")),
    *_of("linalg.spectra:ExtremeEigenvalues.condition_number", "linalg/test_spectra",
         ("self.largest / self.smallest if", "self.largest / self.smallest / 2 if",
          "test_known_ends", "limit")),
    *_of("dynamics.aiming_monitor:AimingMonitor.finalize", "dynamics/test_aiming_monitor",
         ("/ (2 * excess)", "/ excess", "", "equality"),
         ("(w - reference).double()) / excess", "(reference - w).double()) / excess", "",
          "equality")),
    *_of("optim.aiming:aiming_step_size", "optim/test_aiming",
         ("theta / (2 * beta)", "theta / beta", "", "equality")),
    *_of("optim.aiming:iterations_bound", "optim/test_aiming",
         ("(theta - beta * lr)", "theta", "test_the_bound_holds_on_least_squares", "equality")),
    *_of("optim.interpolation:square_loss_constants", "optim/test_interpolation",
         ("max(float(values[0]), 0.0) / n", "max(float(values[0]), 0.0)",
          "test_constants_of_a_linear_model", "equality"),
         ("kernel.diagonal().max()", "kernel.diagonal().mean()",
          "test_constants_of_a_linear_model", "equality")),
    *_of("dynamics.gradient_segments:clean_dominance", "dynamics/test_gradient_segments",
         ("squares[:, 0] / squares[:, 1]", "squares[:, 1] / squares[:, 0]",
          "test_dominance_equals_sums_over_samples", "samples"),
         ("(~clean).to(groups)", "clean.to(groups)", "test_dominance_equals_sums_over_samples",
          "samples"),
         ("squares.prod(1).sqrt()", "squares.prod(1)", "test_dominance_equals_sums_over_samples",
          "samples")),
    *_of("dynamics.label_noise:LabelNoiseScorer.update", "dynamics/test_label_noise",
         ("softplus(-margin", "softplus(margin", "test_scores_equal_their_definitions"),
         ("- 2 * p.gather", "- p.gather", "test_scores_equal_their_definitions")),
    *_of("dynamics.random_labels:_implausible", "dynamics/test_random_labels",
         ("probabilities > given", "probabilities >= given", "test_ranks_by_hand")),
    *_of("dynamics.catapult_map:catapult_map", "dynamics/test_catapult_map",
         ("u * (4 - v)", "u * (2 - v)", "test_is_gradient_descent_of_a_network"),
         ("1 - v + u + w", "1 - v + w", "test_is_gradient_descent_of_a_network")),
    *_of("expansions.quadratic_model:quadratic_step", "expansions/test_quadratic_model",
         ("lr * (cross + cross.T)", "2 * lr * cross",
          "test_steps_are_those_of_gradient_descent", "recursion"),
         ("+ lr**2 * change @ change.T", "", "test_steps_are_those_of_gradient_descent",
          "recursion"),
         ("lr**2 / 2 * cross", "lr**2 * cross", "test_steps_are_those_of_gradient_descent",
          "recursion")),
    *_of("optim.stability:_of_groups", "optim/test_stability",
         ("critical = rate / probed_ratio", "critical = 2 * rate / probed_ratio",
          "test_every_normalisation_of_squared_error", "catapults")),
    *_of("clustering.quantization:quantization_constant", "clustering/test_quantization",
         ("2 ** (-r / 2)", "2 ** (-r)", "test_in_one_dimension_it_is_the_integral_by_hand",
          "order")),
    *_of("clustering.quantization:asymptotic_center_density", "clustering/test_quantization",
         ("d / (d + r)", "d / (d + 2 * r)", "", "order")),
    *_of("clustering.quantization:_Law.relative", "clustering/test_quantization",
         ("(2 * self.d)", "self.d", "test_in_one_dimension_it_is_the_integral_by_hand", "order")),
    *_of("clustering.quantization:_cell_constant", "clustering/test_quantization",
         ("(r + 1) * 2**r", "r * 2**r", "test_in_one_dimension_it_is_the_integral_by_hand",
          "order")),
    *_of("clustering.divergence:BregmanDivergence.__call__", "clustering/test_divergence",
         ("self.grad(c) * (x - c)", "self.grad(x) * (x - c)", "test_it_is_what_is_written",
          "order")),
    *_of("clustering.named:_inverse_square", "clustering/test_divergence",
         ("x**-2.0", "x**-1.0", "test_second_derivatives_are_those_of_differences", "order")),
    *_of("transport.scatter:class_scatter", "transport/test_classifier",
         ("np.sqrt(sizes)[", "sizes[",
          "test_directions_have_the_scale_of_the_scatter_they_were_found_with", "spurious")),
    *_of("transport.scatter:coupling_scatter", "transport/test_classifier",
         ("- cross\n", "+ cross\n", "test_coupled_pairs_scatter_as_their_differences_do",
          "spurious")),
    *_of("transport.scatter:squared_distances", "transport/test_procrustes",
         ("distances *= -2", "distances *= -1",
          "test_squared_distances_are_those_of_pairs", "turns")),
    *_of("transport.procrustes:Turns.projections", "transport/test_procrustes",
         ("- 2 * s[", "- s[", "test_objective_and_constraint_are_what_is_said", "falls"),
         ("v[: self.d].T", "v[-self.d :].T",
          "test_with_equal_columns_it_is_procrustes_of_one_side", "turns")),
    *_of("federated.algorithms.fadamgc:FAdamGC.begin", "federated/test_algorithms",
         ('server["c"] - clients["c"]', 'clients["c"] - server["c"]',
          "test_a_correction_before_the_moments_converges_exactly", "corrected")),
    *_of("federated.algorithms.fadamgc:FAdamGC.direction", "federated/test_algorithms",
         ('self.correction == "pre" else gradient', 'self.correction == "none" else gradient',
          "test_a_correction_before_the_moments_converges_exactly", "corrected"),
         ('torch.maximum(memory["vmax"], size)', "size",
          "test_a_correction_before_the_moments_converges_exactly", "corrected")),
    *_of("federated.algorithms.fadamgc:FAdamGC.update", "federated/test_algorithms",
         ("/ n_clients", "/ 2", "test_c_is_the_mean_of_all_c_i_whatever_fails", "corrected")),
    *_of("federated.topologies.hub_spoke:closed_forms", "federated/test_topologies",
         ("(1 - 1 / n_h) * up", "up", "test_closed_forms_are_what_draws_do", "hubs"),
         ("alpha * (1 - alpha) / n_h", "alpha / n_h", "test_closed_forms_are_what_draws_do",
          "hubs")),
    *_of("federated.vertical.accountant:plan_noise", "federated/test_vertical",
         ("/ mu * sensitivity", "/ mu", "test_a_known_multiplier", "promise"),
         ("sensitivity = (2 if", "sensitivity = (1 if",
          "test_the_two_conventions_differ_by_two_in_noise_and_not_in_multiplier", "promise"),
         ("sigma = 2 * clip", "sigma = clip",
          "test_the_published_formula_warns_of_what_it_keeps", "promise")),
    *_of("federated.vertical.accountant:_log_delta", "federated/test_vertical",
         ("sign * mu / 2", "sign * mu", "test_epsilon_is_exact_and_never_less", "promise")),
    *_of("federated.vertical.zeroth_order:slopes", "federated/test_vertical",
         ("(2 * smoothing)", "smoothing",
          "test_the_estimate_is_the_gradient_on_average_and_as_long_as_it_should_be",
          "estimate")),
]  # fmt: skip
