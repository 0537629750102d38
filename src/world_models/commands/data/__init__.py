"""``world-models data``: one module for each of its commands, loaded when it is asked for."""
