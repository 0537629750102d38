"""Say clearly when this Python cannot run the project, before pip says it unclearly."""

import sys

OLDEST, NEWEST = (3, 11), (3, 13)

if not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        f"Python {sys.version.split()[0]} cannot run world-models: it needs 3.11, 3.12 or 3.13. "
        "Name one: make setup PYTHON=python3.12"
    )
