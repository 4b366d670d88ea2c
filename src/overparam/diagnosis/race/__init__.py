"""How a rate is found: short trainings of copies race inside a bracket.

1. `recipe` says how the user trains: model, optimizer with its groups, loss, batches, schedule,
   clipping, accumulation. A race changes nothing of it but the rate.
2. `bracket` looks at the size of the first updates: rates that move the parameters by 1e-4 to
   1e-1 of their norm per step. That is where the best rate lies, nearly always.
3. `entrant` is a training at one rate that can be gone on with, and is judged by its loss.
4. `race` runs entrants a factor 4 apart for a few steps, then the best one and its neighbours a
   factor 2 apart for twice as long, and twice as long again, up to the training that is planned.
   After every doubling there is an answer, so that a race can be ended by a clock or a person.
5. `variant` is a training that differs in its optimizer or batch size, and `kept` a race
   in a file, to be gone on with.
6. `outcome` is plain data: what was tried, the pick, its interval, and what speaks against it.

All entrants see the same batches in the same order. Steps are counted, not seconds: a clock
decides nothing but after which doubling the race ends.
"""

__all__ = []
