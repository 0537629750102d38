"""The README.md of a data set or a model folder, written for people from what lies in it."""
