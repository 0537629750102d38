"""Spreads pure units of work over processes or a cluster."""
