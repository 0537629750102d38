"""``world-models scratch``: state that interrupted or finished stages left to go on from."""

from argparse import Namespace

from world_models.errors import UserError
from world_models.storage.scratch import Kept, discard, find_root, kept


def run(arguments: Namespace) -> int:
    """List the state with size and age, or remove some of it."""
    found = kept(find_root())
    if arguments.remove is None and arguments.older_than is None:
        _list(found)
        return 0
    chosen = [state for state in found if _chosen(state, arguments)]
    if arguments.remove is not None and not chosen:
        known = ", ".join(state.folder.name for state in found) or "nothing"
        raise UserError(f"There is no scratch {arguments.remove!r}. There is: {known}.")
    for state in chosen:
        done = discard(state)
        print(f"{'removed' if done else 'in use, kept'}: {_line(state)}")
    return 0


def _chosen(state: Kept, arguments: Namespace) -> bool:
    if arguments.remove is not None:
        return bool(state.folder.name == arguments.remove)
    return bool(state.days > arguments.older_than)


def _list(found: list[Kept]) -> None:
    for state in found:
        print(_line(state))
    if not found:
        print("Nothing is kept: no stage was interrupted.")


def _line(state: Kept) -> str:
    return f"{state.folder.name:<44} {state.size / 1e6:>9.1f} MB   used {state.days:.1f} days ago"
