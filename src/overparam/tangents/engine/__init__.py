"""How a kernel comes about, from a module and examples to a matrix.

    K[i, j] = ⟨∂f(x_i)/∂θ, ∂f(x_j)/∂θ⟩   without forming the gradients where that costs more.

1. `session` opens the model: inputs and parameters are checked, layers that mix examples or draw
   at random are refused, and whatever happens the model is left as it was.
2. `graph` reads off the autograd graph of one forward pass where each parameter is used.
3. `operations` holds a rule for each operation: how the gradient of its output becomes the
   gradients of the examples, as a pair of smaller matrices, as a formed gradient or elementwise.
4. `plan` decides which rule covers which parameter and proves it on at most three examples
   against autograd. What fails anywhere is differentiated directly (`jacobian`).
5. `sweep` differentiates all outputs in one pass over the graph, where every operation between
   the outputs and the uses is one it knows; else autograd goes once for each output.
6. `factors` runs the passes and gives what the kernel is contracted from; `formed` is the case
   of convolutions.
7. `contraction` multiplies factors into a kernel, in tiles that stay in cache, one half of a
   symmetric one.
8. A kernel that does not fit into memory is cut by `grid`, computed tile by tile by `tile_maker`
   and kept by `gram_file`, which survives being killed.

The doors are one folder up: `empirical` and `operator` in memory, `out_of_core` on disk.
"""

__all__ = []
