"""What crosses the boundary between parties, each message counted."""

from collections import Counter
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        sender: Who sent it: "server", or the number of a party.
        receiver: Who got it.
        kind: "embeddings", the first of all; "pair", embeddings on both sides of a model; or
            "scalar", a noised slope.
        floats: How many numbers it held.
    """

    sender: str
    receiver: str
    kind: str
    floats: int


class Channel:
    """The only way between parties that run in one process: a copy of a tensor, and a count.

    Args:
        keep: Whether every message is kept in `messages`, or only counts.

    Example:
        >>> import torch
        >>> channel = Channel(keep=True)
        >>> _ = channel.send("server", "0", "scalar", torch.zeros(1))
        >>> channel.messages, channel.floats("scalar")
        ([Message(sender='server', receiver='0', kind='scalar', floats=1)], 1)
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self.messages: list[Message] = []
        self._counts: Counter[str] = Counter()

    def send(self, sender: str, receiver: str, kind: str, content: Tensor) -> Tensor:
        """What the receiver gets: numbers alone, no graph and no shared memory."""
        self._counts[kind] += content.numel()
        if self._keep:
            self.messages.append(Message(sender, receiver, kind, content.numel()))
        return content.detach().clone()

    def floats(self, *kinds: str) -> int:
        """Numbers sent in messages of some kinds."""
        return sum(self._counts[kind] for kind in kinds)
