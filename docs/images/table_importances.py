"""Draw table-importances.svg: which columns of the diabetes table a feature machine uses."""

from pathlib import Path

from sklearn.datasets import load_diabetes

from overparam import RFMRegressor

ROW, LEFT, WIDTH, TOP = 26, 60, 480, 64


def bars() -> str:
    """The picture, one bar a column, most important first."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    model = RFMRegressor().fit(x, y)
    shares = model.feature_importances_
    low, high = model.importance_interval()
    scale = WIDTH / high.max()
    order = (-shares).argsort()
    height = TOP + ROW * len(order) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" width="640" '
        f'height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="640" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">'
        f"{x.columns[order[0]]} and {x.columns[order[1]]} carry "
        f"{100 * shares[order[:2]].sum():.0f} % of the squared gradient</text>",
        f'<text x="{LEFT}" y="44" fill="#555">diabetes, 442 rows; '
        "bootstrap intervals of 90 % over rows</text>",
    ]
    for place, column in enumerate(order):
        middle = TOP + ROW * place + ROW / 2
        end = LEFT + shares[column] * scale
        lines += [
            f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">'
            f"{x.columns[column]}</text>",
            f'<rect x="{LEFT}" y="{middle - 8:.1f}" width="{end - LEFT:.1f}" height="16" '
            'fill="#4c78a8"/>',
            f'<line x1="{LEFT + low[column] * scale:.1f}" x2="{LEFT + high[column] * scale:.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}" stroke="black" stroke-width="2"/>',
            f'<text x="{LEFT + high[column] * scale + 8:.1f}" y="{middle + 4:.1f}" fill="#333">'
            f"{shares[column]:.2f}</text>",
        ]
    lines += [
        f'<text x="{LEFT}" y="{height - 12}" fill="#555">share of the mean squared derivative, '
        "per standard deviation of the column</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("table-importances.svg").write_text(bars(), encoding="utf-8")
