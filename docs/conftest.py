"""How the pages are tested: on one thread, without the copies of examples that a build makes."""

import os
import sys
from pathlib import Path

import torch

# Scripts that import their neighbour are no modules.
collect_ignore_glob = ["gallery/*", "images/figure.py", "images/page.py"]
sys.path.insert(0, str(Path(__file__).parent / "extensions"))
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
