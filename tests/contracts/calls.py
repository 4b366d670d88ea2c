"""Every public name: a call of it with good arguments, or why it has none."""

from collections.abc import Callable
from typing import Any, NamedTuple

import networkx
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import overparam
from overparam import (
    battery,
    clustering,
    curvature,
    diagnosis,
    dynamics,
    expansions,
    federated,
    kernels,
    linalg,
    nets,
    optim,
    search,
    tangents,
)
from overparam.federated import algorithms, topologies, vertical
from overparam.kernels import modular

PACKAGES = (
    overparam,
    battery,
    clustering,
    curvature,
    diagnosis,
    dynamics,
    expansions,
    federated,
    algorithms,
    topologies,
    vertical,
    kernels,
    modular,
    linalg,
    nets,
    optim,
    search,
    tangents,
)


class Call(NamedTuple):
    """A public callable, and its good arguments by name, drawn from a source of randomness.

    Attributes:
        function: What is called.
        arguments: Its arguments; `of`, the object of a method, is always good.
        name: The public name, and that of the method behind a dot.
        changes: The arguments that a call which succeeds changes in place.
        validated: Whether scikit-learn looks at the arguments too, in its own words.
    """

    function: Callable[..., Any]
    arguments: Callable[[torch.Generator], dict[str, Any]]
    name: str
    changes: tuple[str, ...] = ()
    validated: bool = False


def matrix(*shape: int, **options: Any) -> Callable[[torch.Generator], Tensor]:
    return lambda draw: torch.randn(shape, generator=draw, dtype=torch.float64, **options)


def positive(n: int) -> Callable[[torch.Generator], Tensor]:
    def gram(draw: torch.Generator) -> Tensor:
        factor = torch.randn(n, n + 2, generator=draw, dtype=torch.float64)
        return factor @ factor.T

    return gram


def labels(n: int, classes: int) -> Callable[[torch.Generator], Tensor]:
    return lambda draw: torch.randint(classes, (n,), generator=draw)


def array(*shape: int) -> Callable[[torch.Generator], np.ndarray]:
    return lambda draw: torch.rand(shape, generator=draw, dtype=torch.float64).numpy()


def network(draw: torch.Generator) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return model


def relu_network(draw: torch.Generator) -> nn.Module:
    model = network(draw)
    assert isinstance(model, nn.Sequential)
    model[1] = nn.ReLU()
    return model


def call(function: Callable[..., Any], **arguments: Any) -> Call:
    """Arguments that are functions of one `draw` are drawn; all else is as it is."""

    def drawn(draw: torch.Generator) -> dict[str, Any]:
        made = (matrix, positive, labels, array)
        names = tuple(f"{each.__name__}." for each in made)
        return {
            name: value(draw)
            if value is network
            or value is relu_network
            or getattr(value, "__qualname__", "").startswith(names)
            or isinstance(value, Made)
            else value
            for name, value in arguments.items()
        }

    return Call(function, drawn, function.__qualname__)


class Made:
    """An argument made from others that are drawn."""

    def __init__(self, make: Callable[..., Any], **arguments: Any) -> None:
        self.inner = call(make, **arguments)

    def __call__(self, draw: torch.Generator) -> Any:
        return self.inner.function(**self.inner.arguments(draw))


X, Y = matrix(5, 3), matrix(5, 2)
DATA: dict[str, Any] = {"model": network, "x": X}
FIT: dict[str, Any] = {**DATA, "y": Y}
LOSS: dict[str, Any] = {**FIT, "loss": mse_loss}
PREDICTOR = Made(
    kernels.KernelPredictor, kernel=kernels.Gaussian(2.0), centres=X, dual=matrix(5, 2)
)
TRAINED = nn.Linear(3, 2).double()
TRAINED_HEAD = nn.Linear(2, 2).double()
CONSTANTS = optim.InterpolationConstants(4.0, 8.0, 0.1, 5.0, 3)
KERNEL: dict[str, Any] = {"kernel": kernels.Laplace(3.0), "x": X, "targets": Y}
SIGNS = torch.tensor([1.0, -1.0, 0.5, 2.0]).double()


def frozen_head(m: Any) -> nn.Module:
    m[2].weight.requires_grad_(False)
    return m


def half(w: Tensor) -> Tensor:
    return w.square().sum() / 2


def outputs(w: Tensor) -> Tensor:
    return torch.stack([w[0] * w[1], w[2]])


def product(v: Tensor) -> Tensor:
    return torch.arange(1.0, 5.0, dtype=v.dtype) * v


def even(x: np.ndarray) -> np.ndarray:
    return np.ones(len(x))


def twice(x: np.ndarray) -> np.ndarray:
    return 2 * x


SYMMETRIC = Made(linalg.FunctionOperator, matvec=product, size=4, dtype=torch.float64)


def rounds(**arguments: Any) -> list[kernels.Iterate]:
    return list(kernels.feature_recursion(**arguments))


ALL = [
    # The front door.
    call(overparam.agop, **DATA),
    call(overparam.critical_learning_rate, **LOSS),
    call(overparam.empirical_ntk, model=network, x1=X),
    call(overparam.NTKOperator, **DATA),
    call(overparam.infinite_ntk, x1=X, depth=2),
    call(overparam.linearize, model=network),
    call(overparam.quadratize, model=network),
    call(overparam.LabelNoiseScorer, n_samples=5, n_classes=3),
    # What is measured along a run.
    call(dynamics.AimingMonitor, loss=half, steps=[0, 1]),
    call(tangents.agop_alignment, first=positive(3), second=positive(3)),
    call(tangents.agop_blocks, **DATA, block_size=1),
    call(tangents.agop_diagonal, **DATA),
    call(dynamics.catapult_map, v0=0.5, u0=2.5, steps=4),
    call(dynamics.CatapultCounter, window=5),
    call(dynamics.CleanPriorityStop, n_classes=3),
    call(dynamics.SpikeClassifier, limit=1.0),
    call(dynamics.clean_dominance, **LOSS, clean=torch.tensor([True, True, True, False, False])),
    call(dynamics.gradient_alignment, **LOSS),
    call(dynamics.implausible_labels, probabilities=matrix(5, 4), labels=labels(5, 4)),
    call(dynamics.random_label_share, probabilities=matrix(5, 4), labels=labels(5, 4)),
    call(dynamics.loss_mixture, losses=array(40)),
    call(dynamics.segment_gradients, **LOSS, segments=torch.tensor([0, 0, 1, 1, 1])),
    call(dynamics.spectral_loss_split, **FIT, s=2),
    # Electrodes.
    call(battery.CoatingProcess, wet_gap=1e-4, packing=0.5),
    call(battery.hypervolume, points=array(6, 2), reference=array(2)),
    call(battery.nondominated, points=array(6, 2)),
    # Clustering.
    call(
        clustering.BregmanDivergence,
        phi=np.square,
        grad=twice,
        grad_inv=None,
        hess=None,
        domain=(-2.0, 2.0),
        closed="both",
        name="own",
    ),
    call(
        clustering.asymptotic_center_density,
        density=even,
        divergence="kl",
        bounds=[(1.0, 2.0)],
        r=2.0,
    ),
    call(clustering.named_divergence, name="kl"),
    call(
        clustering.quantization_constant,
        density=even,
        divergence="kl",
        bounds=[(1.0, 2.0)],
        r=2.0,
        cell_constant=None,
    ),
    # Curvature.
    call(curvature.GGNOperator, **LOSS),
    call(curvature.HessianOperator, **LOSS),
    call(curvature.OutputHessian, model=network, x=matrix(1, 3)),
    call(curvature.hessian_norm, model=network, x=matrix(1, 3)),
    # Expansions.
    call(expansions.GateFrozenNetwork, model=relu_network),
    call(expansions.freeze_gates, model=relu_network),
    call(expansions.LineNetwork, u=matrix(4), v=matrix(4)),
    call(expansions.QuadraticModel, phi=torch.tanh, sigma=torch.tanh, gamma=1.0, weights=matrix(4)),
    call(
        expansions.linearization_error,
        **DATA,
        reference_params=Made(lambda m: dict(m.state_dict()), m=network),
    ),
    call(
        expansions.quadratization_error,
        **DATA,
        reference_params=Made(lambda m: dict(m.state_dict()), m=network),
    ),
    call(
        expansions.quadratic_step,
        residual=matrix(2),
        jacobian=matrix(2, 3),
        hessians=matrix(2, 3, 3),
        lr=0.1,
    ),
    # Federated learning.
    call(algorithms.FAdamGC, lr=0.1, server_lr=1.0, betas=(0.9, 0.99), eps=1e-8, moments="reset"),
    call(algorithms.FedAdam, lr=0.1, server_lr=0.1, betas=(0.9, 0.99), tau=1e-3),
    call(algorithms.FedAvg, lr=0.1, server_lr=1.0, weight_decay=0.1, clip_norm=1.0),
    call(algorithms.FedAvgM, lr=0.1, momentum=0.9),
    call(algorithms.FedCM, lr=0.1, alpha=0.1),
    call(algorithms.LocalAdam, lr=0.1, amsgrad=False, bias_correction=True),
    call(algorithms.Scaffold, lr=0.1, warmup=True),
    call(
        algorithms.run_round,
        algorithm=algorithms.Scaffold(),
        server=Made(lambda x: {"x": x, "c": torch.zeros_like(x)}, x=matrix(3)),
        clients=Made(lambda c: {"c": c}, c=matrix(2, 3)),
        gradient=lambda w, step: w,
        steps=torch.tensor([1, 2]),
        n_clients=4,
        weights=torch.tensor([1.0, 2.0]),
        reached=torch.tensor([True, True]),
    ),
    call(federated.ClientData, x=X, y=labels(5, 2), parts=[[0, 1], [2, 3, 4]]),
    call(federated.Participation, share=0.5, dropouts=0.1, stragglers=0.2, straggler_steps=0.5),
    call(federated.dirichlet_partition, labels=labels(20, 3), n_clients=3, alpha=0.5, least=2),
    call(federated.iid_partition, n=20, n_clients=3, seed=1),
    call(federated.pathological_partition, labels=labels(20, 3), n_clients=3, classes=2),
    call(
        federated.simulate,
        model=network,
        clients=Made(lambda x, y: federated.ClientData(x, y, [[0, 1], [2, 3, 4]]), x=X, y=Y),
        algorithm=algorithms.FAdamGC(),
        rounds=2,
        loss=mse_loss,
        local_steps=[1, 2],
        batch_size=2,
        test=Made(lambda x, y: (x, y), x=X, y=Y),
        progress=False,
    ),
    call(
        federated.simulate_decentralised,
        model=network,
        clients=Made(lambda x, y: federated.ClientData(x, y, [[0, 1], [2, 3, 4]]), x=X, y=Y),
        topology=topologies.EpidemicLocal(2, 1),
        rounds=2,
        lr=0.1,
        loss=mse_loss,
        local_steps=1,
        batch_size=2,
        crashes=0.1,
        progress=False,
    ),
    call(topologies.EpidemicLocal, n=6, k=2, gossip="pull"),
    call(topologies.EpidemicOracle, n=6, k=2),
    call(
        topologies.HubSpoke,
        n_spokes=8,
        n_hubs=3,
        spokes_per_hub=4,
        hubs_per_hub=1,
        hubs_per_spoke=2,
    ),
    call(topologies.Star, n=4),
    call(topologies.measured_consensus, topology=topologies.Star(4), draws=3, size=2, seed=1),
    call(topologies.plan_topology, n_spokes=9, edges=30, n_hubs=3),
    call(vertical.DPZV, lr=0.1, server_lr=0.1, smoothing=1e-3, clip=1.0, directions=2),
    call(vertical.PrivacySpec, epsilon=1.0, delta=1e-5, neighbouring="add_remove"),
    call(vertical.VerticalData, parts=Made(lambda x: [x[:, :1], x[:, 1:]], x=X), y=labels(5, 2)),
    call(vertical.direction, size=5, seed=1, kind="gaussian"),
    call(vertical.gaussian_delta, mu=0.5, epsilon=1.0),
    call(vertical.gaussian_epsilon, mu=0.5, delta=1e-5),
    call(vertical.gaussian_mu, epsilon=0.5, delta=1e-5),
    call(
        vertical.plan_noise,
        spec=vertical.PrivacySpec(epsilon=1.0, delta=1e-5),
        clip=1.0,
        batch_size=10,
        n_examples=100,
        epochs=3,
        releases_per_step=2,
    ),
    call(vertical.spent_epsilon, multiplier=4.0, releases=3, delta=1e-5),
    call(
        vertical.train_vertical,
        parties=Made(lambda m: [m], m=network),
        head=TRAINED_HEAD,
        data=Made(lambda x: vertical.VerticalData([x], torch.zeros(5).long()), x=X),
        method=vertical.DPZV(),
        epochs=1,
        batch_size=2,
        progress=False,
    ),
    call(vertical.two_point, loss_plus=matrix(4), loss_minus=matrix(4), smoothing=0.1),
    # Kernel machines.
    call(kernels.ClassCodes.of, labels=np.array([0, 1, 2, 1])),
    call(kernels.DotExponential, scale=1.0),
    call(kernels.Gaussian, bandwidth=2.0),
    call(kernels.Laplace, bandwidth=2.0),
    call(kernels.Lpq, bandwidth=2.0, p=2.0, q=1.0),
    call(kernels.KernelPredictor, kernel=kernels.Gaussian(2.0), centres=X, dual=matrix(5, 2)),
    call(kernels.EigenProSolver, kernel=kernels.Gaussian(2.0)),
    call(modular.QuadraticNetwork, inputs=3, width=2, outputs=2),
    call(kernels.predictor_agop, predictor=PREDICTOR),
    call(kernels.predictor_agop_diagonal, predictor=PREDICTOR),
    call(kernels.bootstrap_interval, values=array(6, 3), n_resamples=10),
    call(modular.circulant, vector=matrix(4)),
    call(modular.circulant_deviation, matrix=matrix(4, 4)),
    call(modular.circulant_kind, matrix=matrix(4, 4)),
    call(modular.nearest_circulant, matrix=matrix(4, 4)),
    call(modular.discrete_log_order, modulus=7),
    call(modular.enforce_circulance, feature_matrix=positive(14), operation="add"),
    call(modular.operand_block, feature_matrix=positive(14), operation="add"),
    call(modular.operand_order, operation="mul", modulus=7),
    call(modular.operation_table, operation="add", modulus=5),
    call(modular.modular_arithmetic, operation="add", modulus=5),
    call(modular.random_circulant_features, operation="add", modulus=5),
    call(modular.fourier_multiplication, x=matrix(3, 10)),
    call(kernels.feature_recursion, **KERNEL, n_iter=1)._replace(function=rounds),
    call(kernels.fit_eigenpro, **KERNEL, ridge=0.1, epochs=2),
    call(kernels.fit_ridge, **KERNEL, ridge=0.1),
    call(kernels.leave_one_out_ridge, **KERNEL),
    call(kernels.matrix_power_psd, matrix=positive(3), power=0.5),
    call(
        modular.quadratic_agop,
        net=Made(lambda: modular.QuadraticNetwork(3, 2, outputs=2).double()),
        x=X,
    ),
    call(
        modular.quadratic_agop_trace,
        net=Made(lambda: modular.QuadraticNetwork(3, 2, outputs=2).double()),
        x=X,
    ),
    # Linear algebra.
    call(linalg.DiagonalOperator, entries=matrix(4)),
    call(linalg.FunctionOperator, matvec=product, size=4),
    call(linalg.MatrixOperator, matrix=positive(4)),
    call(linalg.condition_number, matrix=positive(3)),
    call(linalg.hutchinson, operator=SYMMETRIC, products=9),
    call(linalg.hutchpp, operator=SYMMETRIC, products=9),
    call(linalg.matrix_extremes, matrix=positive(3)),
    call(linalg.power_iteration, operator=SYMMETRIC, v0=matrix(4)),
    call(linalg.top_eigenpairs, operator=SYMMETRIC),
    # Networks.
    call(nets.AssemblyModel, submodels=Made(lambda m: [m, m], m=network)),
    call(nets.DAGNetwork, graph=torch.tensor([[0, 0, 1], [1, 2, 2]])),
    call(nets.NTKConv2d, in_channels=2, out_channels=3, seed=0),
    call(nets.NTKLinear, in_features=2, out_features=3, seed=0),
    call(nets.ResidualBlock, branch=network, scale=0.5),
    call(nets.dense_dag, sizes=[2, 2, 1]),
    call(nets.dominance, model=Made(lambda m: nets.AssemblyModel([m, m]), m=network), x=X),
    call(nets.erdos_renyi_dag, inputs=2, hidden=3, probability=0.5, seed=0),
    call(nets.layered_dag, sizes=[2, 2, 1]),
    call(nets.log_uniform_dag, sizes=[2, 3, 1], low=1, high=2, seed=0),
    call(nets.oriented_dag, graph=networkx.path_graph(4), inputs=1),
    call(nets.watts_strogatz_dag, inputs=2, hidden=6, neighbours=2, seed=0),
    call(nets.ntk_cnn, input_shape=(1, 4, 4), channels=[2]),
    call(nets.ntk_mlp, widths=[3, 4, 1]),
    call(nets.ntk_resnet, input_shape=(3,), width=4),
    # Optimizers.
    call(
        optim.InterpolationConstants,
        largest=4.0,
        single=8.0,
        smallest=0.1,
        kappa_t=5.0,
        directions=3,
    ),
    call(optim.aiming_constant, loss=half, w=matrix(3), reference=matrix(3)),
    call(optim.chebyshev_weights, rho=0.1),
    call(optim.critical_batch_sizes, constants=CONSTANTS),
    call(optim.decoupled_quadratic, variances=[1.0, 2.0]),
    call(optim.gaussian_quadratic, variances=[1.0, 2.0]),
    call(optim.flat_outputs, **DATA),
    call(optim.gradient_noise_scale, **{**LOSS, "model": network}),
    call(optim.has_stability_limit, optimizer=torch.optim.SGD([torch.ones(1)], lr=0.1)),
    call(optim.heavy_ball_parameters, rho=0.1, largest=2.0),
    call(
        optim.interpolation_constants,
        gram=Made(lambda g: g.reshape(3, 2, 3, 2), g=positive(6)),
        residual=matrix(3, 2),
    ),
    call(optim.iterations_bound, theta=0.5, alpha=0.5, beta=2.0, reduction=0.1),
    call(
        diagnosis.loader_constants,
        model=network,
        batches=Made(lambda x, y: [(x, y)], x=X, y=Y),
        loss=mse_loss,
    ),
    call(optim.mass_coefficients, alpha=0.2, kappa_t=2.0),
    call(optim.mass_constants, features=X),
    call(optim.mass_hyperparameters, constants=CONSTANTS, batch_size=4),
    call(diagnosis.model_constants, **LOSS),
    call(optim.nesterov_momentum, rho=0.1),
    call(diagnosis.operator_constants, operator=Made(curvature.GGNOperator, **LOSS)),
    call(
        diagnosis.probed_hyperparameters,
        model=network,
        batches=Made(lambda x, y: [(x, y)], x=X, y=Y),
        loss=mse_loss,
        probe_steps=2,
    ),
    call(
        optim.noise_scale, signals=[1.0, 2.0, 1.0, 1.5], noises=[4.0, 5.0, 4.0, 5.0], examples=50.0
    ),
    call(
        optim.noise_scale_from_norms,
        small=[6.0, 5.8, 6.4, 5.9],
        large=[2.2, 2.0, 2.4, 2.1],
        sizes=(4, 16),
        examples=50.0,
    ),
    call(
        optim.project_to_interpolation,
        f=outputs,
        w=matrix(3),
        y=torch.zeros(2).double(),
        start=torch.tensor([0.0, 1.0, 0.0]).double(),
    ),
    call(optim.rho_for_budget, steps=10),
    call(optim.second_moment_rate, problem=optim.gaussian_quadratic([1.0, 2.0]), lr=0.1),
    call(optim.aiming_step_size, theta=0.5, beta=2.0),
    call(
        optim.spectral_error,
        method="nesterov",
        s=torch.tensor([0.2, 0.9]).double(),
        rho=0.1,
        steps=3,
    ),
    call(optim.spectral_rate, method="nesterov", s=torch.tensor([0.2, 0.9]).double(), rho=0.1),
    call(optim.square_loss_constants, f=outputs, w=matrix(3), y=matrix(2)),
    call(
        optim.stability,
        **{**LOSS, "model": TRAINED},
        optimizer=torch.optim.SGD(TRAINED.parameters(), lr=0.1),
    ),
    call(optim.accelerated_solve, A=positive(3), b=matrix(3)),
    # Search.
    call(search.SACSettings, regularisation="none", gamma=0.5, target_entropy=None, updates=2),
    # Tangent kernels.
    call(tangents.conditioning_profile, x=X, depths=[1, 2]),
    call(
        tangents.dual_activation,
        activation="relu",
        covariance=torch.tensor([0.3]).double(),
        variance1=torch.tensor([1.0]).double(),
        variance2=torch.tensor([2.0]).double(),
    ),
    call(tangents.eigen_alignment, kernel=positive(5), y=Y),
    call(tangents.eigen_alignments, kernel=positive(5), y=Y),
    call(tangents.kernel_target_alignment, kernel=positive(5), y=Y),
    call(tangents.kernel_target_alignments, kernel=positive(5), y=Y),
    call(tangents.empirical_ntk_blocks, model=network, x1=X),
    call(tangents.sum_of_logits_ntk, model=network, x1=X),
    call(tangents.extreme_eigenvalues, **DATA),
    call(tangents.gd_step_size, lipschitz=2.0, smoothness=1.0, residual=0.5),
    call(tangents.generalization_bound, kernel=positive(5), y=Y),
    call(tangents.gradient_sketch, **DATA, k=4, seed=0),
    call(tangents.infinite_nngp, x1=X, depth=2),
    call(tangents.infinite_conv_ntk, x1=matrix(2, 1, 4, 4), depth=1),
    call(tangents.input_angles, x1=X, x2=X),
    call(tangents.kernel_change, kernel=positive(3), initial=positive(3)),
    call(tangents.linearized_loss, kernel=positive(5), r0=Y, lr=0.01, steps=[0, 1, 2]),
    call(tangents.classical_loss_bound, kernel=positive(5), r0=Y, lr=0.01, steps=[0, 1, 2]),
    call(tangents.spectral_loss_bound, kernel=positive(5), r0=Y, lr=0.01, steps=[0, 1, 2]),
    call(tangents.model_gradient_angle, theta=0.5, depth=2),
    call(tangents.relu_embedding_angle, theta=0.5, depth=2),
    call(tangents.network_alignment, **FIT),
    call(tangents.pl_certificate, **FIT, smoothness=1.0),
    call(tangents.pl_estimate, **FIT, directions=2),
    call(
        tangents.pl_trace,
        **FIT,
        checkpoints=Made(lambda m: {0: dict(m.state_dict()), 1: dict(m.state_dict())}, m=network),
    ),
    call(tangents.pl_down_to, mu=0.1, smoothness=2.0, initial_loss=1.0, epsilon=0.1),
    call(tangents.sgd_step_size, mu=0.1, smoothness=2.0, n=5, batch_size=2),
    call(
        tangents.pool_alignments,
        results=Made(lambda k, y: [tangents.eigen_alignment(k, y)] * 2, k=positive(5), y=Y),
    ),
    call(tangents.power_law_fit, eigenvalues=torch.arange(1.0, 60.0).double() ** -1.5),
    call(tangents.two_layer_smoothness, model=Made(frozen_head, m=network), x=X),
]

RECORD = "a record of results, which its function makes"
WITHOUT_CALL = {
    **dict.fromkeys(
        ["CatapultOrbit", "CenterDensity",
         "CleanDominance", "EarlyWarning", "Event", "Expansion", "FunctionStep",
         "Iterate",
         "LineDescent", "LossMixture", "ModularTask", "SegmentGradients", "SpectralSplit", "Spike",
         "Split", "StopSignal", "Eigenpairs", "ExtremeEigenvalues", "TraceEstimate",
         "MassHyperparameters", "NoiseScale", "Projection", "SampledQuadratic",
         "SquareLossConstants", "Stability", "AlignmentResult", "ConditioningProfile",
         "GeneralizationBound",
         "GradientSketch", "NetworkAlignment", "PLCertificate", "PLEstimate", "PLTrace",
         "PowerLaw", "Schedule", "Diagnosis", "LinearizedModel", "QuadratizedModel", "Encoding",
         "EdgeTrace", "Statement", "SuggestedRate",
         "ElectrodeDesign", "InverseDesign", "Objective", "Quality", "Structure",
         "Agreement", "ProcrustesResult", "FederatedRun", "RoundOutcome",
         "ConsensusEstimate", "DecentralisedRun", "Message", "MixingPlan", "MixingStage",
         "NoisePlan", "ServedRun", "TopologyPlan", "VerticalRun"],
        RECORD,
    ),
    **dict.fromkeys(
        ["Algorithm", "Kernel", "PairKernel", "Probe", "ProcessModel", "Topology"], "abstract"
    ),
    **dict.fromkeys(
        ["Surrogate", "design_electrode", "inverse_design", "load_process", "simulate",
         "simulate_all"],
        "of electrodes, not of tensors: tested in battery",
    ),
    **dict.fromkeys(["fit", "load_model"], "of files, not of tensors: tested in fitting"),
    **dict.fromkeys(
        ["Examples", "TrainingTask", "follow_edge"], "of a whole run: tested in diagnosis"
    ),
    **dict.fromkeys(
        ["SACSampler", "tune"], "needs Optuna: called in objects.py where it is, tested in search"
    ),
    "NumericalError": "an error",
    "OverparamError": "an error",
    "Scene": "what a monitor hands to its probes",
    "__version__": "a text",
    "ClassCodes": "made by ClassCodes.of",
    "Channel": "takes nothing but a flag",
    **dict.fromkeys(
        ["join_vertical", "serve_vertical"], "needs a group of processes: tested in federated"
    ),
    "Custom": "takes any function",
    "Quadratic": "takes nothing",
    "OperatorProduct": "what `@` of two operators makes",
    "SymmetricOperator": "abstract",
    "default_probes": "takes nothing",
    "memory_limit": "takes a number of bytes: tested with what is measured",
}  # fmt: skip
