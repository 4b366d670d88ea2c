"""
A feature machine in a scikit-learn pipeline
============================================

``RFMRegressor`` is a scikit-learn estimator: it goes into pipelines, cross-validation and
searches like any other. It wants no scaling and no encoding, but gaps must be filled, which is
what the pipeline is for.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from overparam import RFMRegressor

x, y = load_diabetes(return_X_y=True, as_frame=True)
gaps = np.random.default_rng(0).random(x.shape) < 0.05
x = x.mask(gaps)

# %%
# The same folds for everybody, nobody tuned.
folds = KFold(5, shuffle=True, random_state=0)
models = {
    "feature machine": RFMRegressor(),
    "ridge": RidgeCV(),
    "random forest": RandomForestRegressor(100, random_state=0),
}
scores = {}
for name, model in models.items():
    scores[name] = cross_val_score(make_pipeline(SimpleImputer(), model), x, y, cv=folds)
    print(f"{name:16s} R² {scores[name].mean():.2f} ± {scores[name].std():.2f}")

# %%
# On this table a straight line is as good as anything. Which columns the machine uses:
pipeline = make_pipeline(SimpleImputer(), RFMRegressor()).fit(x, y)
machine = pipeline[-1]
low, high = machine.importance_interval()
order = machine.feature_importances_.argsort()
share = machine.feature_importances_[order]
fig, axes = plt.subplots()
axes.barh(x.columns[order], share, color="tab:blue", alpha=0.7)
axes.hlines(range(len(order)), low[order], high[order], color="k")
axes.set(xlabel="share of the mean squared derivative, with intervals over rows")
