"""How a kernel comes about, from a module and examples to a matrix.

    K[i, j] = ⟨∂f(x_i)/∂θ, ∂f(x_j)/∂θ⟩   without forming the gradients where that costs more.

1. `session` opens the model: inputs and parameters are checked, layers that mix examples or draw
   at random are refused, and whatever happens the model is left as it was.
2. `graph` reads off the autograd graph of one forward pass where each parameter is used.
3. `rules` has a class for each operation, in a file of its own: how the gradient of its result
   becomes the gradients of the examples, and how it passes on to the operation's input.
   `operation` is what the engine asks of them and `registry` finds them, so that a new layer is
   one more file there.
4. `plan` decides which rule covers which parameter and proves it on at most three examples
   against autograd. What fails anywhere is differentiated directly (`jacobian`).
5. `recipe` counts operations: whose gradients stay a *pair* of smaller matrices, whose are
   *formed* for all outputs in one product, and whose are *dense*, one output after another.
6. `factors` runs passes of bounded size. `gradients` has what the outputs do to the results of
   operations, by a `sweep` of the graph for all of them at once where rules know every operation
   in between, else by autograd; `pair`, `formed` and `dense` make factors of it.
7. `contraction` multiplies factors into a kernel, in tiles that stay in cache, one half of a
   symmetric one.
8. A kernel that does not fit into memory is cut by `grid`, computed tile by tile by `tile_maker`
   and kept by `gram_file`, which survives being killed.

The doors are one folder up: `empirical` and `operator` in memory, `out_of_core` on disk.
"""

__all__ = []
