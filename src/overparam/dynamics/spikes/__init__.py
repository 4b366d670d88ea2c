"""What made the loss rise: a log of what was changed, a snapshot, and tests in order."""

__all__ = []
