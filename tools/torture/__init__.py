"""Kills, faults and damaged files, by the hundred; see ``make torture``."""
