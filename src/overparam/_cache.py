"""Where finished work is kept that nobody named a file for."""

import os
import sys
from pathlib import Path

from overparam._errors import expect


def cache_folder(where: str, hint: str) -> Path:
    """``$OVERPARAM_CACHE``, or ours in the user's cache folder; never the working directory.

    Args:
        where: The call it is for, as the user would type it.
        hint: What else to do where nothing says where that is.

    Raises:
        ValueError: If nothing says where that is.
    """
    chosen = os.environ.get("OVERPARAM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        folder = Path(local) if local else _home(where, hint) / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = _home(where, hint) / "Library" / "Caches"
    else:
        # The specification has a path that is not absolute ignored.
        cache = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(cache) if os.path.isabs(cache) else _home(where, hint) / ".cache"
    return folder / "overparam"


def _home(where: str, hint: str) -> Path:
    """The user's folder: what the environment says, or else the system's list of users."""
    home = os.environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if not os.path.isabs(home):
        try:
            import pwd

            home = pwd.getpwuid(os.getuid()).pw_dir
        except (ImportError, KeyError):
            home = ""
    expect(
        os.path.isabs(home), where, "a home folder to keep finished work in",
        "neither one in the environment nor one of this user", hint,
    )  # fmt: skip
    return Path(home)
