"""How many threads a computation takes, which decides the last bits of its sums."""

from collections.abc import Iterator
from contextlib import contextmanager


def compute_on(threads: int) -> None:
    """Let torch, BLAS and OpenMP take so many threads in this process from now on."""
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which would come unlimited
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


@contextmanager
def threads_kept() -> Iterator[None]:
    """Whatever is computed inside, the numbers of threads are afterwards what they were.

    It belongs around a whole loop: tasks in threads of one process that each put back what they
    found would do so while others still compute.
    """
    import scipy.linalg  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    with threadpool_limits():
        try:
            yield
        finally:
            torch.set_num_threads(threads)
