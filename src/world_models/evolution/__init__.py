"""Vectors in, vectors out: optimisers behind one interface (paper, App. A.4)."""
