"""Run the commands of docs/tutorials/first-diagnosis.md, and write what they answer into it.

    python docs/images/first_diagnosis.py

Also its picture. Takes two minutes on an idle machine; a busy one would measure less. Needs
Chromium and chromedriver.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from page import draw

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "tutorials" / "first-diagnosis.md"
PICTURE, HEIGHT = FOLDER / "first-diagnosis.png", 2060
_FENCE = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RATE = r"(\blr=)[\d.e-]+"


def renewed(text: str, folder: Path) -> str:
    """The page, its commands run in order: the advised rate in files and words, and the answers."""
    rate = ""

    def block(found: re.Match) -> str:
        nonlocal rate
        language, code = found.groups()
        if rate:
            code = re.sub(_RATE, rf"\g<1>{rate}", code)
        first, *rest = code.splitlines()
        if language == "python":
            (folder / first.removeprefix("# ")).write_text(code, "utf-8")
        else:
            said = run(first.removeprefix("$ "), folder)
            if "..." in rest:  # the first statement, and what to do
                rest = [*said[: 2 if said[1].startswith(" ") else 1], "..."]
            code = "\n".join([first, *rest, ""])
            advice = json.loads((folder / "before.json").read_text("utf-8"))["advice"]
            rate = f"{advice['learning_rate']:.3g}"
        return f"```{language}\n{code}```"

    text = _FENCE.sub(block, text)
    return re.sub(r"(again, with\s`lr=)[\d.e-]+", rf"\g<1>{rate}", text)


def run(command: str, folder: Path) -> list[str]:
    """What a command answers, by line."""
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(
        words, cwd=folder, capture_output=True, check=True, encoding="utf-8", timeout=600
    )
    return done.stdout.splitlines()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(renewed(PAGE.read_text("utf-8"), Path(place)), "utf-8")
        draw(Path(place, "page.html"), PICTURE, HEIGHT)
