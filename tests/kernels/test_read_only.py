"""Arrays that nobody may write to: a model that joblib maps from its file, and such a table."""

import joblib
import numpy as np
import pytest

from overparam.kernels import (
    IRKMRegressor,
    KernelEnsembleClassifier,
    KernelEnsembleRegressor,
    RFMClassifier,
    RFMRegressor,
)

MODELS = [
    IRKMRegressor(n_iter=1), RFMRegressor(n_iter=1), KernelEnsembleRegressor(n_iter=1),
    RFMClassifier(n_iter=1), KernelEnsembleClassifier(n_iter=1),
]  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_mapped_model_and_a_mapped_table_are_as_good(model, tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 3))
    y = (x[:, 0] > 0).astype(int) if hasattr(model, "predict_proba") else x[:, 0]
    table = x.copy()
    table.flags.writeable = False
    model.fit(table, y)
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped.X_fit_.flags.writeable
    np.testing.assert_array_equal(mapped.predict(x), model.predict(x))
    np.testing.assert_array_equal(mapped.agop_, model.agop_)
