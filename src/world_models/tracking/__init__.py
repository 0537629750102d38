"""MLflow, at the edge: it can change no artifact.

A stage talks to a ``Tracker`` (``run``), which passes messages through a pipe (``channel``) to a
process of its own, the recorder (``recorder``); only that process loads MLflow. So MLflow's start
(3–5 s) hides behind the stage's own work, no failure of it reaches the stage, and when the stage
is killed the recorder sees the pipe close and marks the run.
"""
