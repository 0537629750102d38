"""Gymnasium's CarRacing, seen through a 64×64 window."""
