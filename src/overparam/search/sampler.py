"""The search as a sampler of Optuna."""
# pyright: reportMissingImports=false

import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from overparam._checked import checked
from overparam._errors import expect
from overparam._extras import needed
from overparam._types import Count, Natural
from overparam._user_line import user_level
from overparam.search.ask_and_tell import SACSearch
from overparam.search.settings import SACSettings
from overparam.search.space import Space, joint_space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial
else:
    try:
        from optuna.samplers import BaseSampler
    except ImportError:  # the class is there all the same, and says so when it is called
        BaseSampler = object

_RANDOM_SEEDS = 2**32  # as many as NumPy's older generators take


class SACSampler(BaseSampler):
    """Soft actor-critic as a sampler of Optuna, for one objective.

    All parameters of the study so far are searched together, those that only some trials had
    included; what is seen for the first time, or has changed its range, is drawn at random, and so
    are all in the first trials. Trials that were pruned count as worse than all that were not, and
    the later pruned the better; failed ones are ignored. What it knows it reads from the study's
    storage before each trial: studies can be resumed, and shared by threads and by processes, of
    which each learns from the trials of all. With a seed and one process, trials repeat exactly.
    What it costs and where it comes from: see `SACSearch`.

    Args:
        n_startup_trials: Finished trials before the agent proposes any.
        n_trials: Of the study in all, as far as that is known; the agent sees which share of them
            is used up.
        seed: Of everything random; None draws one.
        settings: Of the agent, the regularisation among them.

    Raises:
        MissingPackage: If Optuna is not installed. ValueError: from a study of several objectives.

    Example:
        ::

            sampler = SACSampler(settings=SACSettings(regularisation="hierarchical"), seed=0)
            study = optuna.create_study(sampler=sampler)
            study.optimize(objective, n_trials=100)
    """

    @checked
    def __init__(
        self,
        *,
        n_startup_trials: Natural = 10,
        n_trials: Count = 100,
        seed: Natural | None = None,
        settings: SACSettings = SACSettings(),  # noqa: B008  # it is frozen
    ) -> None:
        random = needed("SACSampler(...)", "optuna", "search").samplers.RandomSampler
        self.n_startup_trials, self.n_trials, self.settings = n_startup_trials, n_trials, settings
        self._random = random(None if seed is None else int(seed) % _RANDOM_SEEDS)
        self.draw = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        # What belongs to one study and its space so far.
        self._study = ""
        self._space: Space | None = None
        self._search: SACSearch | None = None
        self._points: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def reseed_rng(self) -> None:
        """Draw otherwise from now on; Optuna asks for it where trials run side by side."""
        self._random.reseed_rng()
        with self._lock:
            for each in (self, self._search) if self._search else (self,):
                each.draw.bit_generator.state = np.random.default_rng().bit_generator.state

    def infer_relative_search_space(
        self, study: "Study", trial: "FrozenTrial"
    ) -> "dict[str, BaseDistribution]":
        """All parameters that any finished trial had, but for those that changed their range."""
        joint, changed = joint_space(finished(study))
        for name in changed.keys() - self._warned:
            self._warned.add(name)
            warnings.warn(
                f"`SACSampler` draws {name!r} at random: its range is not the same in all trials.",
                stacklevel=user_level(),
            )
        return joint

    def sample_relative(
        self,
        study: "Study",
        trial: "FrozenTrial",
        search_space: "dict[str, BaseDistribution]",
    ) -> dict[str, Any]:
        """The agent's proposal for these parameters; nothing in the first trials."""
        expect_one_objective(study)
        trials = finished(study)
        if not search_space or len(trials) < self.n_startup_trials:
            return {}
        with self._lock:
            space, search = self._of(study.study_name, search_space)
            for done in trials:
                if done.number not in self._points:
                    self._points[done.number] = space.point(done.params)
            points = np.array([self._points[done.number] for done in trials])
            points = points.reshape(-1, space.dimension)
            return space.configuration(search.follow(points, scores(study, trials)))

    def _of(
        self, study: str, distributions: "dict[str, BaseDistribution]"
    ) -> tuple[Space, SACSearch]:
        """What belongs to a study and a space of it, made anew if it is another than before."""
        space, search = self._space, self._search
        if space and search and (self._study, space.distributions) == (study, distributions):
            return space, search
        space, seed = Space(distributions), int(self.draw.integers(_RANDOM_SEEDS))
        search = SACSearch(space.dimension, budget=self.n_trials, seed=seed, settings=self.settings)
        self._study, self._space, self._search, self._points = study, space, search, {}
        return space, search

    def sample_independent(
        self,
        study: "Study",
        trial: "FrozenTrial",
        param_name: str,
        param_distribution: "BaseDistribution",
    ) -> Any:
        """At random."""
        expect_one_objective(study)
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def finished(study: "Study") -> "list[FrozenTrial]":
    """Trials that there is something to learn from, in their order."""
    states = needed("SACSampler(...)", "optuna", "search").trial.TrialState
    found = study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))
    return sorted(found, key=lambda trial: trial.number)


def scores(study: "Study", trials: "list[FrozenTrial]") -> np.ndarray:
    """Numbers in the order of merit, larger is better, equal where trials are equally good."""
    sign = 1.0 if study.direction.name == "MAXIMIZE" else -1.0

    def merit(trial: "FrozenTrial") -> tuple[float, float, float]:
        if trial.state.name == "COMPLETE":
            return (1.0, 0.0, sign * trial.values[0])
        step = trial.last_step
        if step is None:
            return (-1.0, 0.0, 0.0)
        value = sign * trial.intermediate_values[step]
        return (0.0, float(step), value if value == value else -np.inf)

    merits = [merit(trial) for trial in trials]
    place = {each: i for i, each in enumerate(sorted(set(merits)))}
    return np.array([place[each] for each in merits], dtype=float)


def expect_one_objective(study: "Study") -> None:
    """Refuse a study with several."""
    n = len(study.directions)
    expect(n == 1, "SACSampler", "a study with one objective", f"one with {n}")
