"""Data sets of other libraries: Minari, the standard of offline reinforcement learning."""
