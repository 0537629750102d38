"""Vectors in, vectors out: CMA-ES (paper, App. A.4)."""
