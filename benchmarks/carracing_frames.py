"""How far the drawn frames are from Gymnasium's: a table, and a picture of both side by side.

``python benchmarks/carracing_frames.py [PICTURE.png]``, with the drives and the reference that the
tests use. The pictures' third row is the absolute difference, eight times as bright.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "envs"))

from carracing_drives import Drive, held, outwards, pilot, skid
from test_carracing_frames import expected, move

from world_models.envs.carracing.simulator import CarRacing

Frames = NDArray[np.float64]
SITUATIONS: tuple[tuple[str, int, Drive, range, tuple[int, int] | None], ...] = (
    ("zoom at the start", 1, pilot(40), range(52), None),
    ("on the road", 3, pilot(50), range(60, 700, 8), None),
    ("off the track, wheels turned", 5, held(5), range(60, 700, 8), None),
    ("skidding", 7, skid, range(100, 600, 6), None),
    ("edge of the field", 8, outwards, range(60, 1000, 5), (250, 40)),
    ("end of the lap", 7, pilot(40), range(600, 2000, 8), None),
)


def watch(
    seed: int, drive: Drive, steps: range, start: tuple[int, int] | None
) -> tuple[Frames, Frames]:
    """Gymnasium's frames and ours at some steps of an episode and at its end, (n, 64, 64, 3)."""
    env = CarRacing()
    env.reset(seed=seed)
    if start:
        move(env, *start)
    pairs = []
    for i in range(steps.stop):
        frame, _, terminated, _, _ = env.step(drive(env.game, i))
        if i in steps or terminated:
            pairs.append((expected(env.game), frame.astype(np.float64)))
        if terminated:
            break
    genuine, ours = zip(*pairs, strict=True)
    return np.stack(genuine), np.stack(ours)


def row(name: str, difference: Frames) -> str:
    worst = difference.mean(axis=(1, 2, 3)).max()
    tail = np.percentile(difference, 99.9)
    return (
        f"| {name} | {len(difference)} | {difference.mean():.3f} | {worst:.3f} "
        f"| {tail:.0f} | {difference.max():.0f} |"
    )


def picture(columns: list[tuple[str, Frames, Frames]], path: Path) -> None:
    """Gymnasium's frame, ours, and their difference, for each situation."""
    side, gap, left, top = 192, 4, 90, 18
    image = Image.new("RGB", (left + (side + gap) * len(columns), top + 3 * (side + gap)), "white")
    pen = ImageDraw.Draw(image)
    for j, label in enumerate(("Gymnasium", "drawn here", "difference, 8 x")):
        pen.text((2, top + j * (side + gap) + side // 2), label, fill="black")
    for i, (name, genuine, ours) in enumerate(columns):
        x = left + i * (side + gap)
        pen.text((x, 3), name, fill="black")
        for j, frame in enumerate((genuine, ours, np.minimum(8 * np.abs(genuine - ours), 255))):
            tile = Image.fromarray(frame.astype(np.uint8)).resize((side, side), Image.NEAREST)
            image.paste(tile, (x, top + j * (side + gap)))
    image.quantize(128).save(path, optimize=True)


def main() -> None:
    columns, differences = [], []
    print(
        "| situation | frames | mean | worst frame | 99.9 % | maximum |\n|---|---|---|---|---|---|"
    )
    for name, *how in SITUATIONS:
        genuine, ours = watch(*how)
        shown = len(ours) - 1 if name.startswith("e") else len(ours) // 2  # the edge, the end
        columns.append((name, genuine[shown], ours[shown]))
        differences.append(np.abs(genuine - ours))
        print(row(name, differences[-1]), flush=True)
    print(row("all", np.concatenate(differences)))
    if sys.argv[1:]:
        picture(columns, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
