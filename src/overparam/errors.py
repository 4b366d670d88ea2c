"""What the library raises: every error of its own is an `OverparamError`, whatever else it is."""


class OverparamError(Exception):
    """An error in the words of this library: what was called, expected and got, what to try.

    Each is also the built-in error that such a thing is, so that ``except ValueError`` works as
    usual; what torch, NumPy or one's own code raises is none of these.
    """


class InvalidValue(OverparamError, ValueError):
    """An argument, a file or a state of the right type that does not serve."""


class InvalidType(OverparamError, TypeError):
    """An argument of another type than can be computed with."""


class InvalidState(OverparamError, RuntimeError):
    """A call at a time or in an order that cannot be answered."""


class NotEnoughMemory(MemoryError, OverparamError):  # in this order: it has its own __new__
    """Something whose size is known beforehand, and does not fit."""


class MissingPackage(OverparamError, ImportError):
    """A package that is not installed; the message names the extra that brings it."""


class NumericalError(OverparamError, ArithmeticError):
    """A computation that was asked for correctly broke down numerically."""
