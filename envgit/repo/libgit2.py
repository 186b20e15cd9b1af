# SPDX-License-Identifier: Apache-2.0
"""Loads as much of pygit2 as is used, because all of it costs five times as much.

``import pygit2`` spends its time on what a bare local repository never touches. CPU time here
(pygit2 1.21, Python 3.11, after click): 58 ms, of which 13 ms are its extension module ``_pygit2``
with libgit2, OpenSSL and libssh2 behind it, 9 ms enumerations, 11 ms the hundreds of names that its
``__init__`` defines, 9 ms ``ssl`` and the certificate store for remotes, and the rest remotes,
submodules, rebase, index, callbacks and their imports. The extension alone can open a repository,
read objects, resolve prefixes, walk and compare texts.

So ``pygit2._pygit2`` is imported under a package object that runs no ``__init__`` and whose
``enums`` are plain ints; both are then taken away again. A later ``import pygit2`` (by a program
that uses envgit as a library) runs the real ``__init__``, finds the same extension module and gives
it the real enumerations. Where that cannot be done safely (other threads run, pygit2 is loaded
already) or does not work (another version of pygit2), plain ``import pygit2`` takes its place.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from pygit2 import _pygit2 as native


__all__ = ["GitLibraryError", "native", "open_repository"]


class GitLibraryError(EnvgitError):
    """libgit2 could not be loaded or could not open what it was given."""


# libgit2's numbers (git2/common.h, git_libgit2_opt_t); fixed by its ABI.
_OPT_SET_SEARCH_PATH = 5
_OPT_ENABLE_FSYNC_GITDIR = 19
_OPT_SET_OWNER_VALIDATION = 36
# git2/config.h, git_config_level_t: programdata, system, xdg, global.
_CONFIG_LEVELS = (1, 2, 3, 4)


def _load() -> ModuleType:
    module = _load_extension() if _is_safe() else None
    if module is None:
        try:
            import pygit2  # noqa: F401  # loads the extension module that is used below
        except ImportError as error:
            raise GitLibraryError(
                f"pygit2 cannot be imported: {error}", hint="install it: pip install pygit2"
            ) from error
        module = sys.modules["pygit2._pygit2"]
    _set_options()
    return module


def _is_safe() -> bool:
    """No other thread could import pygit2 while the bare package stands in for it."""
    threading = sys.modules.get("threading")
    alone = threading is None or threading.active_count() == 1
    return alone and "pygit2" not in sys.modules and "pygit2._pygit2" not in sys.modules


def _load_extension() -> ModuleType | None:
    spec = PathFinder.find_spec("pygit2")
    if spec is None or spec.submodule_search_locations is None:
        return None
    package = ModuleType("pygit2")
    package.__path__ = list(spec.submodule_search_locations)
    enums = ModuleType("pygit2.enums")
    enums.__dict__["__getattr__"] = lambda name: int  # PEP 562: every enumeration is int
    sys.modules |= {"pygit2": package, "pygit2.enums": enums}
    try:
        # The second is what _set_options() uses; both must be found while the bare package is here.
        from pygit2 import _libgit2, _pygit2  # noqa: F401

        _pygit2._cache_enums()
        return _pygit2
    except (ImportError, AttributeError, TypeError):
        for name in [name for name in sys.modules if name.startswith("pygit2.")]:
            del sys.modules[name]
        return None
    finally:
        for name in ("pygit2", "pygit2.enums"):
            sys.modules.pop(name, None)


def _set_options() -> None:
    """Make libgit2 depend on nothing but the repository it opens.

    Its search paths are emptied because envgit reads git's user configuration itself, and only a
    few settings of it; owner validation is off because porcelain checks the owner by envgit's own
    rules before git is opened (CVE-2022-24765).
    """
    try:
        from pygit2._libgit2 import ffi, lib  # type: ignore[import-not-found]
    except ImportError:
        return
    for level in _CONFIG_LEVELS:
        lib.git_libgit2_opts(_OPT_SET_SEARCH_PATH, ffi.cast("int", level), ffi.new("char[]", b""))
    lib.git_libgit2_opts(_OPT_SET_OWNER_VALIDATION, ffi.cast("int", 0))
    lib.git_libgit2_opts(_OPT_ENABLE_FSYNC_GITDIR, ffi.cast("int", 1))


if not TYPE_CHECKING:
    native = _load()


def open_repository(path: str) -> native.Repository:
    """Open the bare repository at ``path`` with libgit2; raises GitLibraryError."""
    try:
        return native.Repository(native.init_file_backend(path, 0))
    except (native.GitError, OSError, KeyError, ValueError) as error:
        raise GitLibraryError(f"not a git repository: '{path}': {_reason(error)}") from error


def _reason(error: BaseException) -> Any:
    return error.args[0] if error.args else error
