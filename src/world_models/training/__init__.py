"""One harness on Lightning for the training of V and M.

A budget in gradient steps, a validation loop, curves for MLflow, and checkpoints in the stage's
scratch: a training that was interrupted ends in the same bits as one that was not.
"""
