"""What the engine knows of operations: a rule is one class, in a file that says it all.

To teach it another operation, write a file here and a test in `tests/tangents/engine/rules`; the
registry finds the file. A rule is an `Operation` (`engine/operation.py` says what it is asked):

- `parameters` names the nodes of the autograd graph, and the inputs at which it knows what a
  parameter does. `gradient` is then all that it must answer; if the parameter is scaled or added
  elementwise, `ScaleShift` has it, given the `factor`. Factors (`paired`, `left`, `right`) make
  the kernel cheaper where the gradient is a sum of products.
- `activations` names the inputs to which `passed` carries gradients of all outputs at once; what
  autograd gives one after another.

A node's name and what it has kept are seen in a graph: `y.grad_fn`, its `next_functions`, and the
attributes that begin with `_saved`. A rule may leave a case to autograd: `rows = 0`, or `None`
from `passed`. Neither is believed: `plan` compares them with autograd on three examples of every
model, and a rule that is wrong there is not used.
"""

__all__ = []
