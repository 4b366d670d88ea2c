from .run import RunFile
from .server import watch

__all__ = ["RunFile", "watch"]
