"""V and M trained together: M's losses reach V, which keeps its own (an addition to the paper)."""
