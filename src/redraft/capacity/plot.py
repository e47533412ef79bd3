"""Plot a plan: tokens a second of a user against those of all, for both ways of writing."""

from __future__ import annotations

from pathlib import Path

from redraft.capacity.plan import CapacityPlan
from redraft.errors import ConfigError


def check_plotting() -> None:
    """Check that matplotlib is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"a picture needs matplotlib: pip install 'redraft[train]' ({error})"
        ) from None


def plot_plan(plan: CapacityPlan, title: str, path: Path) -> None:
    """Draw the curve of users as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, color in (("diffusion", "#c2410c"), ("autoregressive", "#1d4ed8")):
        flows = [getattr(row, name) for row in plan.curve]
        axes.plot(
            [one.tokens_per_second for one in flows],
            [one.per_user for one in flows],
            "o-",
            color=color,
            label=name,
        )
        for one in flows:
            axes.annotate(
                str(one.users),
                (one.tokens_per_second, one.per_user),
                fontsize=7,
                color=color,
                xytext=(3, 3),
                textcoords="offset points",
            )
    axes.set(
        xscale="log",
        yscale="log",
        title=title,
        xlabel="tokens a second, all users",
        ylabel="tokens a second, one user",
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path)
