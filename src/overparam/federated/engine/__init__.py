"""The gradients of many clients at once, each with weights of its own.

1. `flat_parameters` lays a model's parameters out in one vector, and takes views of it.
2. `looped` goes through the clients one by one; `mapped` lets `torch.func.vmap` do it; `stacked`
   knows the layers itself (`stacked_layers`) and multiplies all clients' matrices in one call.
3. `choice` picks one of the three by the model's layers and the device, never by the clock: a
   choice that depended on time would change the last digits of a result.
"""

__all__ = []
