"""The DAG's stages, one file each: read, call, write."""

import os

# Before torch is loaded: OpenMP's idle threads sleep instead of spinning. Spinning ones take the
# cores from V's own threads; on two busy cores V trains 1.9 times as fast without.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
