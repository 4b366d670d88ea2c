"""How the pages are tested: on one thread, without the copies of examples that a build makes."""

import os
import sys
from pathlib import Path

import torch

collect_ignore_glob = ["gallery/*"]
sys.path.insert(0, str(Path(__file__).parent / "extensions"))
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
