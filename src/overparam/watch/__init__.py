"""A page in the browser that follows a training run while it goes on."""

from overparam.watch.run import RunFile
from overparam.watch.server import watch

__all__ = ["RunFile", "watch"]
