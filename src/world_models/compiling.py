"""Numba's compilers for all kernels, with a cache that a change of any kernel's code makes anew.

Numba's own cache looks at a kernel's file only. What the kernel calls or reads in other files is
frozen into it, and so are the versions of Numba, LLVM and NumPy. Here the cache's folder is named
by a digest of all that. So kernels may call and inline each other across the files of an *area*,
which is one folder of this package, such as ``fast`` or ``envs``; of other areas they use nothing.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

config: Any = numba.config
UNUSED_DAYS = 30
"""A cache of other code or versions is removed after so many days without use."""
_PACKAGE = Path(__file__).resolve().parent


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel with ``numba.njit`` and keep the machine code on disk.

    Where no folder can be written, or a file of the cache is damaged, it is compiled again.
    ``NUMBA_DISABLE_JIT`` and ``NUMBA_CACHE_DIR`` work as Numba says.

    Args:
        options: of ``numba.njit``, without ``cache``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**options)(function)
        if not config.DISABLE_JIT:
            try:
                kernel._cache = _Cache(function)
            except (OSError, RuntimeError) as error:
                _warn_once(f"Kernels are compiled in every process ({error}).")
        return kernel

    return decorate


def inlined(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a part of kernels, which is copied into each of them; it needs no cache.

    Args:
        options: of ``numba.njit``, without ``inline``.
    """
    decorate: Callable[[Callable[..., Any]], Any] = numba.njit(inline="always", **options)
    return decorate


@cache
def digest(area: Path) -> str:
    """SHA-256 over the code of an area and the versions of what compiles it, hexadecimal."""
    found = hashlib.sha256()
    for module in (numba, llvmlite, np):
        found.update(f"{module.__name__} {module.__version__}\n".encode())
    for path in [Path(__file__), *sorted(area.rglob("*.py"))]:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


@cache
def folder(area: Path) -> Path:
    """The folder of an area's cache, made if need be; those that nobody used lately are removed.

    Raises:
        OSError: no folder can be written.
    """
    name = f"numba-{area.name}-"
    for base in _bases():
        made = base / f"{name}{digest(area)[:16]}"
        try:
            made.mkdir(parents=True, exist_ok=True)
            os.utime(made)  # the moment of its last use
        except OSError:
            continue
        if os.access(made, os.W_OK):
            _remove_unused(base, name)
            return made
    raise OSError(f"no folder to keep them in can be written: {', '.join(map(str, _bases()))}")


def _bases() -> list[Path]:
    if config.CACHE_DIR:
        return [Path(config.CACHE_DIR)]
    return [_PACKAGE / "__pycache__", Path(platformdirs.user_cache_dir("world-models"))]


def _remove_unused(base: Path, name: str) -> None:
    for old in base.glob(f"{name}*"):
        try:
            if time.time() - old.stat().st_mtime > UNUSED_DAYS * 86_400:
                shutil.rmtree(old)
        except OSError:  # another process removes it as well
            continue


def _area(path: Path) -> Path:
    """The folder whose code can be part of the kernels of ``path``."""
    if not path.is_relative_to(_PACKAGE):
        return path.parent
    return _PACKAGE / path.relative_to(_PACKAGE).parts[0]


class _Locator(_CacheLocator):
    """Tells Numba where the cache of one function lies."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        source = Path(path).resolve()
        self._py_file, self._line = path, function.__code__.co_firstlineno
        area = _area(source)
        self._path = folder(area) / ".".join(source.relative_to(area).with_suffix("").parts)
        self._stamp = digest(area)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator":
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(self._path)

    def get_source_stamp(self) -> str:
        return self._stamp

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012


class _Cache(FunctionCache):
    """Numba's cache of one function, without its crashes on damaged files and full disks."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever unpickling half a file raises
            print(  # noqa: T201
                f"warning: {self.cache_path} holds a damaged file ({error}); compiling again.",
                file=sys.stderr,
            )
            self._remove_files()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as error:
            _warn_once(f"Kernels are compiled again next time: {error}.")

    def _remove_files(self) -> None:
        for path in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _warn_once(f"{path} is damaged and cannot be removed: {error}.")

    def _files(self) -> Iterator[Path]:
        yield from Path(self.cache_path).glob(f"{self._impl.filename_base}.*")


@cache
def _warn_once(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)  # noqa: T201
