"""MLflow, at the edge: it can change no artifact."""
