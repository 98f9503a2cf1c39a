"""What `polydiff train` and `resume` print: every message once, in the order of the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_plugins import polydiff
from PIL import Image

NET = ("backbone.channels=16", "backbone.blocks=1", "train.batch_size=4", "sample.steps=2")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with one damaged file and one that is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    for label in ("cat", "dog"):
        (root / label).mkdir()
        for i in range(15):
            Image.new("RGB", (8, 8), (i * 16, 40 if label == "cat" else 200, i)).save(root / label / f"{i}.png")
    (root / "cat" / "torn.png").write_bytes(b"torn")
    (root / "note.txt").write_text("a note")
    return root


def test_each_remark_on_the_data_is_printed_once_a_command(pictures: Path, tmp_path: Path) -> None:
    words = ("train", "--domain", "image", f"data.path={pictures}", "train.steps=2", "--judge", "2", *NET)
    made = polydiff(*words, "-o", "run", cwd=tmp_path)
    judged = polydiff("eval", "run", "-n", "2", cwd=tmp_path)
    checked = polydiff("data", "check", str(pictures), cwd=tmp_path)
    for done in (made, judged, checked):
        assert done.returncode == 0, done.stderr
        text = done.stdout + done.stderr
        for remark in ("  cat/torn.png: ", "1 .txt", "Few examples are held out"):
            assert text.count(remark) == 1, (remark, text)
    assert "31 images found: 30 used, 1 excluded" in made.stderr
