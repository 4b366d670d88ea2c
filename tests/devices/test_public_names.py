"""Every public function of tensors or modules gives on a device what it gives on the CPU."""

import dataclasses
import functools
import importlib
import math
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import overparam
from overparam import (
    curvature,
    diagnosis,
    dynamics,
    expansions,
    kernels,
    linalg,
    nets,
    optim,
    tangents,
)
from overparam.kernels import modular

MSE = nn.functional.mse_loss
_OPERATIONS = (("add", 4), ("sub", 4), ("mul", 5), ("div", 5))


class Place:
    """The same numbers and the same network, on one device or another."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        draw = torch.Generator().manual_seed(0)
        self.x = self.to(torch.randn(8, 3, generator=draw, dtype=torch.float64))
        self.y = self.x[:, :1].sin()
        self.square = self.x @ self.x.T + torch.eye(8, dtype=torch.float64, device=device)
        self.labels = self.to(torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
        self.probabilities = self.x.softmax(1)

    def to(self, value: Any) -> Any:
        return value.to(self.device)

    def model(self) -> nn.Sequential:
        return self.to(nets.ntk_mlp([3, 6, 1], "tanh", seed=1, dtype=torch.float64))

    def hidden(self) -> nn.Sequential:
        """With the output weights fixed, as bounds of the curvature want it."""
        model = self.model()
        model[2].requires_grad_(False)
        return model

    def relu(self) -> nn.Sequential:
        torch.manual_seed(0)
        layers = [nn.Linear(3, 6, bias=False), nn.ReLU(), nn.Linear(6, 1, bias=False)]
        return self.to(nn.Sequential(*layers).double())

    def far(self) -> dict[str, Tensor]:
        return {name: 1.1 * p.detach() for name, p in self.model().named_parameters()}

    def least(self) -> tuple[Any, Tensor]:
        return optim.flat_outputs(self.model(), self.x)

    def positive(self, n: int) -> Tensor:
        """A positive definite matrix of order n."""
        rows = torch.arange(1.0, n + 1, dtype=torch.float64)
        return self.to(torch.cos(rows[:, None] - rows) + torch.eye(n, dtype=torch.float64))

    def linear(self) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        features = torch.cat([self.x, self.x**2], 1)[:4]
        return lambda w: features @ w, self.to(torch.ones(6, dtype=torch.float64))

    def predictor(self) -> Any:
        dual = kernels.fit_ridge(kernels.Laplace(2.0), self.x, self.y, ridge=0.1)
        return kernels.KernelPredictor(kernels.Laplace(2.0), self.x, dual)

    def circulant(self) -> Tensor:
        return modular.circulant(self.x[:5, 0])


def _kernel(kernel: Any) -> Callable[[Place], Any]:
    return lambda s: (
        kernel.matrix(s.x), kernel.product(s.x[:2], s.x, s.y),
        kernel.gradient(s.x[:2], s.x, s.y), kernel.diagonal(s.x),
    )  # fmt: skip


def _trained(s: Place) -> Any:
    model = s.model()
    optimizer = optim.MaSS(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        MSE(model(s.x), s.y).backward()
        optimizer.step()
    with optimizer.main_params():
        main = [p.detach().clone() for p in model.parameters()]
    return main, [p.detach() for p in model.parameters()]


def _differentiated(s: Place) -> Any:
    """The derivative of a step by its rate."""
    lr = s.to(torch.tensor(0.1, dtype=torch.float64)).requires_grad_()
    p, buffer = s.x.clone(), torch.zeros_like(s.x)
    optim.mass_step([p], [s.x], [buffer], lr=lr, alpha=0.1, kappa_t=2.0)
    return p.detach(), torch.autograd.grad(p.sum(), lr)


def _scheduled(s: Place) -> Any:
    model = s.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def limit() -> float:
        return optim.critical_learning_rate(model, s.x, s.y, MSE, optimizer)

    scheduler = dynamics.CatapultScheduler(optimizer, limit, n_catapults=1, warmup=1, patience=5)
    rates = []
    for _ in range(6):
        optimizer.zero_grad()
        value = MSE(model(s.x), s.y)
        value.backward()
        optimizer.step()
        scheduler.step(value.item())
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def _monitored(s: Place) -> Any:
    model = s.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = dynamics.Monitor(model, MSE, optimizer, max_overhead=math.inf)
    for _ in range(4):
        optimizer.zero_grad()
        value = MSE(model(s.x), s.y)
        value.backward()
        monitor.step(value, batch=(s.x, s.y))
        optimizer.step()
    assert len(monitor.probes) == 7
    return monitor.history.drop(columns="overhead").to_numpy()


def _stable(s: Place) -> Any:
    model = s.model()
    return optim.stability(model, s.x, s.y, MSE, torch.optim.SGD(model.parameters(), lr=0.1))


def _scored(s: Place) -> Any:
    scorer = dynamics.LabelNoiseScorer(8, 2)
    for _ in range(2):
        scorer.update(s.x[:, :2], s.labels % 2, torch.arange(8, device=s.device))
    return scorer.state_dict()["sums"]


def _eigenpro(s: Place) -> Any:
    solver = kernels.EigenProSolver(kernels.Laplace(2.0), n_subsamples=4).fit(s.x, s.y, epochs=3)
    return solver.dual, solver.predict(s.x[:2])


def _operator(kind: str) -> Callable[[Place], Any]:
    def products(s: Place) -> Any:
        if kind == "NTK":
            operator = tangents.NTKOperator(s.model(), s.x)
            return operator.matvec(s.y[:, 0]), operator.trace()
        made = getattr(curvature, f"{kind}Operator")(s.model(), s.x, s.y, MSE)
        return made.matvec(torch.ones(made.size, dtype=made.dtype, device=s.device))

    return products


def _estimator(kind: str) -> Callable[[Place], Any]:
    """Fitted on the device they name; what they give is NumPy's."""

    def fitted(s: Place) -> Any:
        more = {"early_stopping": False, "validation_fraction": None} if "RFM" in kind else {}
        if "Ensemble" not in kind:
            more["bandwidth"] = 2.0
        machine = getattr(kernels, kind)(n_iter=1, device=str(s.device), random_state=0, **more)
        target = s.labels if "Classifier" in kind else s.y[:, 0]
        x = s.x.cpu().numpy()
        machine.fit(x, target.cpu().numpy())
        return machine.predict_proba(x) if "Classifier" in kind else machine.predict(x)

    return fitted


def _graph(s: Place) -> Any:
    graph = nets.dense_dag([3, 4, 1])
    return s.to(nets.DAGNetwork(graph, seed=0)).double()(s.x)


def _tree(kind: str) -> Callable[[Place], Any]:
    """Split and fitted on the device that its machines name."""

    def fitted(s: Place) -> Any:
        regressor = functools.partial(
            kernels.RFMRegressor, bandwidth=2.0, alpha=0.1, n_iter=1, device=str(s.device)
        )
        leaf = regressor() if kind == "Regressor" else kernels.RFMClassifier(
            bandwidth=2.0, alpha=0.1, n_iter=1, device=str(s.device)
        )  # fmt: skip
        tree = getattr(kernels, f"AGOPTree{kind}")(
            leaf, split_estimator=regressor(), max_leaf_size=5, min_leaf_size=2
        )
        x, y = s.x.cpu().numpy(), (s.y[:, 0] if kind == "Regressor" else s.labels).cpu().numpy()
        tree.fit(x, y)
        assert len(tree.leaves_) == 2
        return tree.predict(x) if kind == "Regressor" else tree.predict_proba(x)

    return fitted


def _aimed(s: Place) -> Any:
    features, w = s.linear()

    def loss(w: Tensor) -> Tensor:
        return (features(w) - s.y[:4, 0]).square().sum()

    monitor = dynamics.AimingMonitor(loss, steps=[0, 2])
    for step in range(3):
        monitor.record(step, w)
        w = w - 0.01 * torch.func.grad(loss)(w)
    assert {t.device for t in monitor.snapshots.values()} == {s.device}

    def project(point: Tensor) -> optim.Projection:
        return optim.project_to_interpolation(features, point, s.y[:4, 0], w)

    return monitor.finalize(w, project=project, infimum=-1.0).to_numpy()


def _line(s: Place) -> Any:
    net = expansions.LineNetwork(s.x[:, 0], s.x[:, 1])
    x, y = s.x[:, 2], s.y[:, 0]
    return [net.eigenvalues(x), *(net.descend(x, y, 0.1, 3, gates=g) for g in ("frozen", "moving"))]


def _quadratic_model(s: Place) -> Any:
    model = expansions.QuadraticModel(
        lambda x: x, lambda x: x[:, :, None] * x[:, None], gamma=0.5, weights=s.x[0]
    )
    outputs = model(s.x)
    return outputs, torch.autograd.grad(outputs.square().sum(), model.weights)


def _to_file(function: Callable[..., np.memmap]) -> Callable[[Place], Any]:
    def result(s: Place) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/K.npy"
            return np.array(function(s.model(), s.x, s.x[:3], path=path, tile=3, progress=False))

    return result


def _solved(s: Place) -> Any:
    b = s.y[:, 0]
    operator = tangents.NTKOperator(s.model(), s.x)
    return [
        optim.accelerated_solve(A, b, x0, method=method, maxiter=8, rtol=1e-9)
        for A in (s.square, lambda v: s.square @ v, operator, s.square.cpu().numpy())
        for method, x0 in (("nesterov", None), ("heavy_ball", b), ("chebyshev", b))
    ]


def _arithmetic(s: Place) -> Any:
    A, D = linalg.MatrixOperator(s.square), linalg.DiagonalOperator(s.y[:, 0])
    return (A - D / 2).shifted(0.5), A.scaled(s.y[:, 0].abs()), A @ D


CASES: dict[str, Callable[[Place], Any]] = {
    "curvature.GGNOperator": _operator("GGN"),
    "curvature.HessianOperator": _operator("Hessian"),
    "curvature.OutputHessian": lambda s: curvature.OutputHessian(s.model(), s.x[:1]).dense(),
    "curvature.hessian_norm": lambda s: curvature.hessian_norm(s.model(), s.x[:1]),
    "dynamics.CatapultScheduler": _scheduled,
    "dynamics.LabelNoiseScorer": _scored,
    "dynamics.Monitor": _monitored,
    "tangents.agop": lambda s: tangents.agop(s.model(), s.x),
    "tangents.agop_alignment": lambda s: tangents.agop_alignment(s.square, s.square + 1),
    "tangents.agop_blocks": lambda s: tangents.agop_blocks(s.model(), s.x, 3),
    "tangents.agop_diagonal": lambda s: tangents.agop_diagonal(
        s.model(), s.x, outputs="random", n_vectors=2
    ),
    "dynamics.clean_dominance": lambda s: dynamics.clean_dominance(
        s.model(), s.x, s.y, MSE, s.labels > 0, classes=s.labels
    ),
    "dynamics.gradient_alignment": lambda s: dynamics.gradient_alignment(
        s.model(), s.x, s.y, MSE
    ),
    "dynamics.implausible_labels": lambda s: dynamics.implausible_labels(
        s.probabilities, s.labels
    ),
    "dynamics.random_label_share": lambda s: dynamics.random_label_share(
        s.probabilities, s.labels
    ),
    "dynamics.segment_gradients": lambda s: dynamics.segment_gradients(
        s.model(), s.x, s.y, MSE, s.labels
    ),
    "dynamics.spectral_loss_split": lambda s: dynamics.spectral_loss_split(
        s.model(), s.x, s.y, 2
    ),
    "expansions.GateFrozenNetwork": lambda s: expansions.GateFrozenNetwork(s.relu())(s.x),
    "expansions.LineNetwork": _line,
    "expansions.QuadraticModel": _quadratic_model,
    "expansions.freeze_gates": lambda s: expansions.freeze_gates(s.relu())(s.x),
    "expansions.linearization_error": lambda s: expansions.linearization_error(
        s.model(), s.far(), s.x
    ),
    "expansions.linearize": lambda s: expansions.linearize(s.model())(s.x),
    "expansions.quadratic_step": lambda s: expansions.quadratic_step(
        s.y[:, 0], s.x, s.x[:, :, None] * s.x[:, None], 0.1
    ),
    "expansions.quadratization_error": lambda s: expansions.quadratization_error(
        s.model(), s.far(), s.x
    ),
    "expansions.quadratize": lambda s: expansions.quadratize(s.model())(s.x),
    "kernels.DotExponential": _kernel(kernels.DotExponential(2.0)),
    "kernels.Gaussian": _kernel(kernels.Gaussian(2.0)),
    "kernels.Laplace": _kernel(kernels.Laplace(2.0)),
    "kernels.Lpq": _kernel(kernels.Lpq(2.0, 1.5, 1.0)),
    "kernels.Quadratic": _kernel(kernels.Quadratic()),
    "kernels.Custom": _kernel(kernels.Custom(lambda x, z: x @ z.T + 1)),
    "kernels.EigenProSolver": _eigenpro,
    "kernels.AGOPTreeClassifier": _tree("Classifier"),
    "kernels.AGOPTreeRegressor": _tree("Regressor"),
    "kernels.IRKMClassifier": _estimator("IRKMClassifier"),
    "kernels.IRKMRegressor": _estimator("IRKMRegressor"),
    "kernels.KernelEnsembleClassifier": _estimator("KernelEnsembleClassifier"),
    "kernels.KernelEnsembleRegressor": _estimator("KernelEnsembleRegressor"),
    "kernels.RFMClassifier": _estimator("RFMClassifier"),
    "kernels.RFMRegressor": _estimator("RFMRegressor"),
    "kernels.KernelPredictor": lambda s: s.predictor().gradient(s.x[:2]),
    "kernels.predictor_agop": lambda s: kernels.predictor_agop(s.predictor()),
    "kernels.predictor_agop_diagonal": lambda s: kernels.predictor_agop_diagonal(
        s.predictor()
    ),
    "kernels.modular.circulant": lambda s: s.circulant(),
    "kernels.modular.circulant_deviation": lambda s: modular.circulant_deviation(s.square),
    "kernels.modular.circulant_kind": lambda s: len(modular.circulant_kind(s.circulant())),
    "kernels.modular.enforce_circulance": lambda s: [
        modular.enforce_circulance(s.positive(2 * p), operation)
        for operation, p in _OPERATIONS
    ],
    "kernels.modular.operand_block": lambda s: [
        modular.operand_block(s.positive(2 * p), operation) for operation, p in _OPERATIONS
    ],
    "kernels.modular.fourier_multiplication": lambda s: [
        modular.fourier_multiplication(s.positive(2 * p), operation)
        for operation, p in _OPERATIONS
    ],
    "kernels.modular.QuadraticNetwork": lambda s: _quadratic(s)(s.x),
    "kernels.feature_recursion": lambda s: [
        (i.predictor.dual, i.predictor.feature_matrix)
        for i in kernels.feature_recursion(s.x, s.y, kernels.Gaussian(2.0), n_iter=2)
    ],
    "kernels.fit_eigenpro": lambda s: kernels.fit_eigenpro(
        kernels.Laplace(2.0), s.x, s.y, ridge=0.1
    ),
    "kernels.fit_ridge": lambda s: kernels.fit_ridge(
        kernels.Laplace(2.0), s.x, s.y, ridge=0.1, weights=s.labels + 1.0
    ),
    "kernels.leave_one_out_ridge": lambda s: kernels.leave_one_out_ridge(
        kernels.Laplace(2.0), s.x, s.y
    ),
    "kernels.matrix_power_psd": lambda s: kernels.matrix_power_psd(s.square, 0.5),
    "kernels.modular.nearest_circulant": lambda s: modular.nearest_circulant(s.square),
    "kernels.modular.quadratic_agop": lambda s: modular.quadratic_agop(_quadratic(s), s.x),
    "kernels.modular.quadratic_agop_trace": lambda s: modular.quadratic_agop_trace(
        _quadratic(s), s.x
    ),
    "linalg.DiagonalOperator": lambda s: linalg.DiagonalOperator(s.y[:, 0]).dense(),
    "linalg.FunctionOperator": lambda s: linalg.FunctionOperator(
        lambda v: s.square @ v, 8, dtype=torch.float64, device=s.device
    ).diagonal(),
    "linalg.MatrixOperator": lambda s: linalg.MatrixOperator(s.square) @ s.y,
    "linalg.OperatorProduct": lambda s: [made.dense() for made in _arithmetic(s)],
    "linalg.condition_number": lambda s: linalg.condition_number(s.square),
    "linalg.hutchinson": lambda s: linalg.hutchinson(linalg.MatrixOperator(s.square)),
    "linalg.hutchpp": lambda s: linalg.hutchpp(
        linalg.MatrixOperator(s.square), products=12
    ),
    "linalg.matrix_extremes": lambda s: linalg.matrix_extremes(s.square),
    "linalg.power_iteration": lambda s: linalg.power_iteration(
        linalg.MatrixOperator(s.square), s.y[:, 0]
    ),
    "linalg.top_eigenpairs": lambda s: linalg.top_eigenpairs(
        linalg.MatrixOperator(s.square), v0=s.y[:, 0]
    ).values,
    "nets.NTKConv2d": lambda s: s.to(nets.NTKConv2d(1, 2, seed=0, dtype=torch.float64))(
        s.square[:4, :4][None, None]
    ),
    "nets.NTKLinear": lambda s: s.to(nets.NTKLinear(3, 2, seed=0, dtype=torch.float64))(s.x),
    "nets.ResidualBlock": lambda s: s.to(nets.ResidualBlock(nn.Tanh(), 0.5))(s.x),
    "nets.AssemblyModel": lambda s: s.to(nets.AssemblyModel([s.model(), s.model()]))(s.x),
    "nets.DAGNetwork": _graph,
    "nets.dominance": lambda s: nets.dominance(
        s.to(nets.AssemblyModel([s.model(), s.model()])), s.x
    ),
    "nets.ntk_cnn": lambda s: s.to(
        nets.ntk_cnn((1, 4, 4), [2], seed=0, dtype=torch.float64)
    )(s.square[:4, :4][None, None]),
    "nets.ntk_mlp": lambda s: s.model()(s.x),
    "nets.ntk_resnet": lambda s: s.to(
        nets.ntk_resnet((3,), 4, seed=0, dtype=torch.float64)
    )(s.x),
    "dynamics.AimingMonitor": _aimed,
    "optim.MaSS": _trained,
    "optim.accelerated_solve": _solved,
    "optim.aiming_constant": lambda s: optim.aiming_constant(
        lambda w: w.square().sum(), s.y[:, 0], torch.zeros_like(s.y[:, 0])
    ),
    "optim.critical_learning_rate": lambda s: optim.critical_learning_rate(
        s.model(), s.x, s.y, MSE
    ),
    "optim.flat_outputs": lambda s: s.least()[0](s.least()[1]),
    "optim.gradient_noise_scale": lambda s: optim.gradient_noise_scale(s.model(), s.x, s.y, MSE),
    "optim.interpolation_constants": lambda s: optim.interpolation_constants(
        s.square.view(8, 1, 8, 1), s.y
    ),
    "diagnosis.loader_constants": lambda s: diagnosis.loader_constants(
        s.model(), [(s.x[:4], s.y[:4]), (s.x[4:], s.y[4:])], MSE
    ),
    "optim.mass_constants": lambda s: optim.mass_constants(s.x),
    "optim.mass_step": _differentiated,
    "diagnosis.model_constants": lambda s: diagnosis.model_constants(s.model(), s.x, s.y, MSE),
    "diagnosis.operator_constants": lambda s: diagnosis.operator_constants(
        tangents.NTKOperator(s.model(), s.x), s.y
    ),
    "diagnosis.mass_for_model": lambda s: diagnosis.mass_for_model(
        s.model(), MSE, [(s.x, s.y)], probe_steps=2
    ).state_dict(),
    "diagnosis.probed_hyperparameters": lambda s: diagnosis.probed_hyperparameters(
        s.model(), [(s.x[:4], s.y[:4]), (s.x[4:], s.y[4:])], MSE, probe_steps=2
    ),
    "optim.project_to_interpolation": lambda s: optim.project_to_interpolation(
        s.linear()[0], s.linear()[1], s.y[:4, 0], torch.zeros_like(s.linear()[1])
    ),
    "optim.second_moment_rate": lambda s: optim.second_moment_rate(
        optim.gaussian_quadratic([1.0, 0.5]), s.x[:2, 0].abs() / 10
    ),
    "optim.spectral_error": lambda s: optim.spectral_error("nesterov", s.y.abs(), 0.1, 3),
    "optim.spectral_rate": lambda s: optim.spectral_rate("nesterov", s.y.abs(), 0.1),
    "optim.square_loss_constants": lambda s: optim.square_loss_constants(
        s.linear()[0], s.linear()[1], s.y[:4, 0]
    ),
    "optim.stability": _stable,
    "tangents.NTKOperator": _operator("NTK"),
    "tangents.classical_loss_bound": lambda s: tangents.classical_loss_bound(
        s.square, s.y, 0.01, [0, 3]
    ),
    "tangents.conditioning_profile": lambda s: tangents.conditioning_profile(
        s.x, [1, 2], width=8, seeds=(0,)
    ),
    "tangents.dual_activation": lambda s: tangents.dual_activation(
        "tanh", s.y.abs() / 2, s.y.abs() + 1, s.y.abs() + 1
    ),
    "tangents.eigen_alignment": lambda s: tangents.eigen_alignment(s.square, s.y, n_bins=2),
    "tangents.eigen_alignments": lambda s: tangents.eigen_alignments(s.square, s.y, n_bins=2),
    "tangents.empirical_ntk": lambda s: tangents.empirical_ntk(s.model(), s.x),
    "tangents.empirical_ntk_to_file": _to_file(tangents.empirical_ntk_to_file),
    "tangents.empirical_ntk_blocks": lambda s: tangents.empirical_ntk_blocks(s.model(), s.x),
    "tangents.empirical_ntk_blocks_to_file": _to_file(tangents.empirical_ntk_blocks_to_file),
    "tangents.sum_of_logits_ntk_to_file": _to_file(tangents.sum_of_logits_ntk_to_file),
    "tangents.extreme_eigenvalues": lambda s: tangents.extreme_eigenvalues(s.model(), s.x),
    "tangents.generalization_bound": lambda s: tangents.generalization_bound(s.square, s.y),
    "tangents.gradient_sketch": lambda s: tangents.gradient_sketch(
        s.model(), s.x, 4, seed=0
    ).kernel(),
    "tangents.infinite_conv_ntk": lambda s: tangents.infinite_conv_ntk(
        s.square[:, :4].reshape(2, 1, 4, 4), depth=1
    ),
    "tangents.infinite_nngp": lambda s: tangents.infinite_nngp(s.x, depth=2),
    "tangents.infinite_ntk": lambda s: tangents.infinite_ntk(s.x, depth=2, activation="tanh"),
    "tangents.input_angles": lambda s: tangents.input_angles(s.x, s.x.flip(0)),
    "tangents.kernel_change": lambda s: tangents.kernel_change(s.square, s.square + 1),
    "tangents.kernel_target_alignment": lambda s: tangents.kernel_target_alignment(
        s.square, s.y
    ),
    "tangents.kernel_target_alignments": lambda s: tangents.kernel_target_alignments(
        s.square, s.y
    ),
    "tangents.linearized_loss": lambda s: tangents.linearized_loss(s.square, s.y, 0.01, [0, 3]),
    "tangents.model_gradient_angle": lambda s: tangents.model_gradient_angle(s.y.abs(), 2),
    "tangents.network_alignment": lambda s: tangents.network_alignment(
        s.model(), s.x, s.y, n_bins=2
    ),
    "tangents.pl_certificate": lambda s: tangents.pl_certificate(s.hidden(), s.x, s.y),
    "tangents.pl_estimate": lambda s: tangents.pl_estimate(s.model(), s.x, s.y, directions=2),
    "tangents.pl_trace": lambda s: tangents.pl_trace(
        s.model(), s.x, s.y, {0: s.model().state_dict(), 1: s.far()}
    ),
    "tangents.pool_alignments": lambda s: tangents.pool_alignments(
        tangents.eigen_alignments(s.square, s.x, n_bins=2), n_bins=2
    ),
    "tangents.power_law_fit": lambda s: tangents.power_law_fit(
        s.to(1 / torch.arange(1.0, 40)), n_bins=4
    ),
    "tangents.relu_embedding_angle": lambda s: tangents.relu_embedding_angle(s.y.abs(), 2),
    "tangents.spectral_loss_bound": lambda s: tangents.spectral_loss_bound(
        s.square, s.y, 0.01, [0, 3]
    ),
    "tangents.sum_of_logits_ntk": lambda s: tangents.sum_of_logits_ntk(s.model(), s.x),
    "tangents.two_layer_smoothness": lambda s: tangents.two_layer_smoothness(s.hidden(), s.x),
}  # fmt: skip


def _quadratic(s: Place) -> nn.Module:
    return s.to(modular.QuadraticNetwork(3, 4, outputs=1, seed=0, dtype=torch.float64))


def leaves(value: Any) -> Iterator[Any]:
    """Tensors and numbers of a result, in order."""
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, (Tensor, np.ndarray, float, int)):
        yield value


ON_THE_CPU = {
    "dynamics.LabelNoiseScorer": "keeps a table over the training set in the host's memory",
    "dynamics.implausible_labels": "fills a table of that kind",
    "expansions.LineNetwork": "a few numbers a step, which the host computes with",
    "kernels.feature_recursion": "no feature matrix in the first round",
    "tangents.conditioning_profile": "one number a network",
    "tangents.pl_trace": "one number a checkpoint",
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:.*pl_certificate|.*certif.*:UserWarning")
def test_is_the_same_on_a_device_and_stays_there(name: str, device: torch.device) -> None:
    expected = list(leaves(CASES[name](Place(torch.device("cpu")))))
    found = list(leaves(CASES[name](Place(device))))
    assert len(found) == len(expected) > 0
    if name not in ON_THE_CPU:
        assert {t.device for t in found if isinstance(t, Tensor)} <= {device}
    for one, other in zip(found, expected, strict=True):
        one, other = (torch.as_tensor(value).detach().cpu().double() for value in (one, other))
        # Double precision, at most a hundred terms, condition numbers below 1e5: 1e-16 · 1e7.
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8, equal_nan=True)


RUNS = "trains a model, with the functions tested here"
RESULT = "holds numbers or tensors that other functions made"
NUMBERS = "takes and gives plain numbers"
NUMPY = "takes and gives NumPy arrays or tables"
WITHIN = "tested with the function that makes or trains it"
SPARSE = "multiplies by a sparse matrix, which the stand-in for a device cannot hold"
BESIDE = "tested on a device beside its other tests"
MADE = "makes index or weight tables on the CPU, from numbers"
ELSEWHERE: dict[str, dict[str, str]] = {
    RUNS: {"diagnosis": "diagnose follow_edge suggest_lr"},
    BESIDE: {
        "clustering": "BregmanKMeans",
        "federated": "simulate",
    },
    SPARSE: {"federated": "simulate_decentralised"},
    RESULT: {
        "clustering": "CenterDensity",
        "federated": "ClientData DecentralisedRun FederatedRun Participation",
        "diagnosis": "Diagnosis EdgeTrace Examples Statement SuggestedRate TrainingTask",
        "dynamics": "CatapultOrbit CleanDominance EarlyWarning Event LossMixture Probe Scene "
        "SegmentGradients SpectralSplit Spike StopSignal",
        "expansions": "Expansion FunctionStep LineDescent",
        "kernels": "Iterate Split ClassCodes Encoding",
        "kernels.modular": "ModularTask",
        "linalg": "Eigenpairs ExtremeEigenvalues TraceEstimate",
        "optim": "InterpolationConstants MassHyperparameters Projection SampledQuadratic "
        "NoiseScale SquareLossConstants Stability",
        "tangents": "AlignmentResult ConditioningProfile GeneralizationBound GradientSketch "
        "NetworkAlignment PLCertificate PLEstimate PLTrace PowerLaw Schedule",
    },
    NUMBERS: {
        "dynamics": "CatapultCounter SpikeClassifier catapult_map",
        "optim": "chebyshev_weights critical_batch_sizes decoupled_quadratic "
        "gaussian_quadratic has_stability_limit heavy_ball_parameters iterations_bound "
        "mass_coefficients mass_hyperparameters nesterov_momentum rho_for_budget aiming_step_size "
        "noise_scale noise_scale_from_norms",
        "tangents": "gd_step_size pl_down_to sgd_step_size",
    },
    NUMPY: {
        "clustering": "BregmanDivergence BregmanMixture MiniBatchBregmanKMeans SphericalKMeans "
        "asymptotic_center_density named_divergence quantization_constant",
        "federated": "dirichlet_partition iid_partition pathological_partition",
        "dynamics": "CleanPriorityStop loss_mixture",
        "kernels": "bootstrap_interval",
    },
    WITHIN: {
        "dynamics": "default_probes",
        "expansions": "LinearizedModel QuadratizedModel",
        "kernels": "Kernel PairKernel",
        "linalg": "SymmetricOperator",
    },
    MADE: {
        "kernels.modular": "discrete_log_order modular_arithmetic operand_order operation_table "
        "random_circulant_features",
        "nets": "dense_dag erdos_renyi_dag layered_dag log_uniform_dag oriented_dag "
        "watts_strogatz_dag",
    },
}
# Packages of files, tables, documents and runs, which use the functions above, or NumPy.
WITHOUT_TENSORS = {
    "battery", "claims", "cluster", "datasets", "fitting", "integrations", "report",
    "search", "studies", "tables", "transport", "watch",
}  # fmt: skip


def test_every_public_name_is_tested_on_a_device_or_has_a_reason() -> None:
    reasons = {
        f"{package}.{name}"
        for packages in ELSEWHERE.values()
        for package, names in packages.items()
        for name in names.split()
    }
    known, missing = CASES.keys() | reasons, []
    packages = [module.name for module in pkgutil.iter_modules(overparam.__path__) if module.ispkg]
    for label in (*packages, "kernels.modular"):
        if label not in WITHOUT_TENSORS:
            package = importlib.import_module(f"overparam.{label}")
            names = {f"{label}.{name}" for name in package.__all__}
            missing += sorted(names - known)
            known -= names
    assert missing == []
    assert known == set(), "names that are public no longer"
    assert not CASES.keys() & reasons
