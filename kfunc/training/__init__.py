"""Training: the loops of `Model`, from the batch to the compiled step.

    fit.py, evaluate.py, predict.py     the three loops, each from its first batch to its last
    setup.py, traced.py, objective.py   what a loop works with: the network as traced, the loss and the metrics
    forms.py                            whether a batch of other inner sizes than the first one fits the model
    program.py                          how steps run: alone, several in a dispatch, as a recorded loop, or in place
    functions.py, feed.py               the compiled functions, and how batches get to them
    step.py, custom_steps.py            the pure functions of one step: kfunc's own, and around steps of the user's own
    state.py, carry.py                  the train state, and the object that holds the newest one
    in_place.py, memory.py, signals.py  large states, freed memory, Ctrl-C and SIGTERM
    checkpoints.py, resume.py           states in a directory, and how `fit` goes on from them
    model_file.py                       what `Model.save` writes
    history.py, progress_bar.py, summary.py, outputs.py, faults.py

Who owns arrays, and who may see them
-------------------------------------
A step makes a new train state from the old one, and at once the old one is garbage. On JAX, and for large states on
other backends, the step therefore puts the new arrays into the memory of the old ones: a second state would not fit,
and fetching new memory takes time. That is only right if nobody else has the old arrays, because they would change
under their owner's hands, or be gone. So there is one owner: the `TrainCarry` of the model, which holds the newest
state and never an older one. To see the arrays, one asks `model.train_state`, and this marks the carry as `seen`.
Before the next step that takes memory, `TrainCarry.own` copies a state that was seen: the arrays that were handed out
stay as they are for ever, and the step gets the copies. States that come from outside, by `model.train_state = ...`,
from an initializer or from an optimizer of the user's own, count as seen. Code of this package that looks at the
state for a moment, and keeps no array beyond the next step, reads `carry.train_state`, which does not mark it. While
a step has the memory of the old state and the carry does not hold the new one yet, signals wait (`signals.py`): a
Ctrl-C between the two would leave the model without any state.
"""
