"""One module for each command of ``world-models``, loaded when it is asked for."""
