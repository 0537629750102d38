"""Pictures, videos and tables, drawn from stored numbers. They can change no artifact."""
