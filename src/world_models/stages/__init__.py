"""The DAG's stages, one file each: read, call, write."""
