"""What there is of one pipeline to be compared: in the working folder, or in a revision."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from world_models.errors import InputError
from world_models.origin import changes, git
from world_models.origin.lock import LOCK, Lock, text_of
from world_models.storage import guard

WORKSPACE = "workspace"
EXPERIMENTS = "refs/exps"
"""Where DVC keeps its experiments in git."""
CODE = "src/"


@dataclass(frozen=True)
class Side:
    """One of the pipelines that are compared.

    Attributes:
        label: as it was named.
        about: where it comes from, in words.
        parameters: as text, by ``<stage>.<key>``, of the stages that led to its score.
        code: digest of each file and folder of code that those stages ran with; empty if unknown.
        later: parameters that were changed after the score was made, in words.
        read: gives the content of a file such as ``metrics/vae.json`` or
            ``reports/evaluate/episodes.csv``; None if it has none.
    """

    label: str
    about: str
    parameters: Mapping[str, str]
    code: Mapping[str, str]
    later: Sequence[str]
    read: Callable[[str], bytes | None]

    def metrics(self, stage: str) -> dict[str, Any]:
        """A stage's metrics; empty if it has none.

        Raises:
            InputError: they are damaged.
        """
        name = f"metrics/{stage}.json"
        content = self.read(name)
        cure = f"Run the stage {stage} again, or name another revision."
        return guard.json_in(content, f"{self.label}: {name}", cure) if content else {}


def workspace(root: Path, environment: str) -> Side:
    """The working folder's pipeline of an environment."""

    def read(name: str) -> bytes | None:
        path = root / _place(name, environment)
        return path.read_bytes() if path.is_file() else None

    lock = Lock.read(root)
    about = f"the working folder, on commit {(git.ask('rev-parse', 'HEAD') or 'none')[:12]}"
    later = changes.since_scored(lock, environment, partial(text_of, root))
    return Side(WORKSPACE, about, *_ran(lock, environment), later, read)


@contextmanager
def open_revision(root: Path, name: str, environment: str) -> Iterator[Side]:
    """A pipeline as it is in a revision of git, or in an experiment of DVC, for the block.

    Raises:
        InputError: there is no such revision or experiment.
    """
    commit = _commit(name)
    lock = Lock.of(commit, [LOCK])
    from dvc.api import DVCFileSystem  # takes a second to load
    from dvc_data.index import DataIndexDirError

    subject = git.ask("log", "-1", "--format=%s", commit)
    about = f"commit {commit[:12]}: {subject}"
    later = changes.since_scored(lock, environment, partial(git.show, commit))
    with closing(DVCFileSystem(str(root), rev=commit)) as files:

        @cache
        def read(path: str) -> bytes | None:
            try:
                content: bytes = files.read_bytes(_place(path, environment))
            except (OSError, DataIndexDirError):  # not in the revision, or nowhere to be had
                return None
            return content

        yield Side(name, about, *_ran(lock, environment), later, read)


def _commit(name: str) -> str:
    found = git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if found:
        return found
    listed = git.ask("for-each-ref", "--format=%(refname) %(objectname)", EXPERIMENTS) or ""
    experiments = dict(_named(listed))
    if name in experiments:
        return experiments[name]
    known = f"; DVC's experiments are {', '.join(sorted(experiments))}" if experiments else ""
    if not git.there():
        raise InputError(f"{name} is no MLflow run, and there is no git repository to look in.")
    raise InputError(
        f"{name} is no MLflow run, no revision of git and no experiment of DVC{known}. The "
        f"working folder is called {WORKSPACE}."
    )


def _named(listed: str) -> Iterator[tuple[str, str]]:
    """Name and commit of each experiment; ``exec`` and ``stash`` are DVC's own."""
    for line in listed.splitlines():
        reference, commit = line.split()
        folder, _, name = reference.removeprefix(f"{EXPERIMENTS}/").rpartition("/")
        if folder and folder.split("/")[0] not in ("exec", "stash", "celery"):
            yield name, commit


def _ran(lock: Lock, environment: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and code of the stages that led to an environment's score, as they ran."""
    entries = lock.scored(environment)
    given = lock.given(environment)
    parameters = {key.removeprefix(f"{environment}."): str(v) for key, v in given.items()}
    code = {p: md5 for entry in entries for p, md5 in entry.deps.items() if p.startswith(CODE)}
    return parameters, code


def _place(name: str, environment: str) -> str:
    kind, _, rest = name.partition("/")
    return f"{kind}/{environment}/{rest}"
