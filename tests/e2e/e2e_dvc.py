"""``python -m e2e_dvc "status" "dag" …``: several of DVC's commands in one process."""

import sys

from dvc.cli import main

for line in sys.argv[1:]:
    code = main(line.split())
    if code:
        sys.exit(code)
