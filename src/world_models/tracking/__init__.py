"""MLflow, at the edge: it can change no artifact.

A stage appends lines to a file, its *journal* (``run``, ``journal``). Another process, the
*recorder* (``recorder``, ``recording``), reads the journal and writes to MLflow (``mlflow_run``).
The journal stays on disk until MLflow has all of it. So:

- the stage never waits for MLflow and never fails with it: not for its import (3-5 s), not for a
  server that does not answer;
- the run of a killed stage is closed, because the recorder sees that the stage's process has ended;
- if the recorder is killed as well, the next stage's recorder finds the journal and records it;
- what is logged while a server is away is recorded when it is back;
- every process of a training may log: each line is one write at the end of the file.

MLflow's own asynchronous logging gives none of this. It needs MLflow in the stage's process.
Creating the run is synchronous: it waits for the server, and raises without one. At its end the
process waits for the queue (6 s for 500 metrics on a local database). A killed process loses its
queue (495 of 500 metrics) and leaves its run in the state RUNNING.
"""
