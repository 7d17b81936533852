"""Four conversations with a closer look, worked by hand: every id, mark, position, corner and place in the pack.

    by_hand.py         (writes by_hand.json beside itself; Python 3.10 or later, nothing else; reads nothing)

The model directory is ../model/checkpoints/qwen2_5_vl: patches of 4 pixels, merged two by two, so a token is a square
of 8 pixels; 256 to 4,096 pixels; boxes in pixels of the image as it is read. The rules are those of arXiv:2507.05920
and its authors' code (xinyu1205/verl at 994efbe). make.py has more conversations, from transformers; here nothing but
what is written below decides.
"""
from __future__ import annotations

import json
import pathlib

# --- what a token is ------------------------------------------------------------------------------------------------
# Qwen's byte-level vocabulary begins with the 256 bytes in GPT-2's order: first those that can be printed, "!" (33) to
# "~" (126) as 0 to 93, then Latin-1's 94 to 187, then the others from byte 0 on as 188, so newline (10) is 198 and
# space (32) is 220. Behind them this directory has 24 merges, of which the words below use these:
MERGED = {"er": 261, "on": 263, "st": 267, "an": 276}
# 280 is <|endoftext|>, and so on in Qwen's order:
START, END, VISION_START, VISION_END, IMAGE = 281, 282, 289, 290, 292
# The words of these conversations that a merge touches, in its pieces: of "json" o and n are merged, of "system" s and
# t, of "user" e and r, of "assistant" s and t, and a and n. All other texts fall into single characters: no two that
# stand side by side are a merge.
WORDS = {"json": "j s on", "system": "s y st e m", "user": "u s er", "assistant": "a s s i st an t"}


def ids(text: str) -> list[int]:
    """The text's tokens: the words above in their pieces, everything else character by character."""
    out = []
    while text:
        word = next((w for w in WORDS if text.startswith(w)), text[0])
        pieces = WORDS.get(word, word).split(" ") if word in WORDS else [word]
        for piece in pieces:
            out.append(MERGED[piece] if len(piece) > 1 else {" ": 220, "\n": 198}.get(piece, ord(piece) - 33))
        text = text[len(word):]
    return out


# --- what is said ---------------------------------------------------------------------------------------------------
SCRIPT = {"system": "S", "first": "<image>{question}", "shown": "X<image>", "again": "Y<image>", "last": "{task}"}
QUESTION, TASK = "Q", "T"
SIZE = (36, 30)  # height and width of the picture


def read(height: int, width: int) -> tuple[int, int]:
    """The sides as they are read: each to the nearest multiple of 8, a half to the even one, as Python rounds."""
    sides = round(height / 8) * 8, round(width / 8) * 8
    assert 256 <= sides[0] * sides[1] <= 4096, "no further resizing"
    return sides


# 36 / 8 is 4.5 and goes to 4, 30 / 8 is 3.75 and goes to 4: 32 x 32, 8 x 8 patches, 4 x 4 tokens.
READ = read(*SIZE)
assert READ == (32, 32)


def box(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'```json\n[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "C"}}]\n```'


def corners(x1: int, y1: int, x2: int, y2: int) -> list[int]:
    """Divided by the side as it is read, times the original's, cut to whole pixels."""
    return [int(x1 / 32 * 30), int(y1 / 32 * 36), int(x2 / 32 * 30), int(y2 / 32 * 36)]


# 5/32 of 30 is 4.69, 3/32 of 36 is 3.38, 30/32 of 30 is 28.13, 21/32 of 36 is 23.63.
assert corners(5, 3, 30, 21) == [4, 3, 28, 23]
# The part is 24 wide and 20 high. 20 / 8 is 2.5 and goes to 2: it is read as 16 x 24, 4 x 6 patches, 2 x 3 tokens.
assert read(20, 24) == (16, 24)

# name: (reply, how it ended, what is kept of it, the part or the rule that is broken)
TALKS = {
    # Closed by the model: all of it stays, and so does the closing token that was sampled.
    "box": (box(5, 3, 30, 21), "closed", box(5, 3, 30, 21), [4, 3, 28, 23]),
    # Text behind the block, and no end: the text is dropped and the turn is closed for it.
    "words-behind": (box(5, 3, 30, 21) + "\nZ", "cut", box(5, 3, 30, 21), [4, 3, 28, 23]),
    # 13 - 5 is 8 and not over 8: too small. Nothing is dropped, and the picture is shown again.
    "small": (box(5, 3, 13, 21), "closed", box(5, 3, 13, 21), "small"),
    # No block and no end: the last token gives way to the closing one.
    "cut-off": ("NO", "cut", "N", "no-block"),
}
ANSWER = "\\boxed{A}"


def pixel(x: int, y: int, c: int) -> int:
    """Of the picture: a ramp, a checkerboard, and noise on every eighth value (seed 5), all in whole numbers."""
    ramp = (x * 255 // (SIZE[1] - 1) * (c + 1) + y * 255 // (SIZE[0] - 1) * (3 - c)) // 4
    check = 96 if ((x >> 3) ^ (y >> 3) ^ c) & 1 else 0
    h = (x * 374761393 + y * 668265263 + c * 2246822519 + 5 * 3266489917) & 0xFFFFFFFF
    h ^= h >> 13
    h = h * 1274126177 & 0xFFFFFFFF
    h ^= h >> 16
    return (ramp + check + (h >> 24 if h & 7 == 0 else 0)) & 0xFF


def fnv1a(data: bytes) -> str:
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


# --- where it stands ------------------------------------------------------------------------------------------------
def turn(role: str, *content) -> list:
    """<|im_start|>role newline content <|im_end|> newline; an image, given as its rows and columns of tokens, stands
    between <|vision_start|> and <|vision_end|>."""
    out = [START] + ids(role + "\n")
    for part in content:
        out += ids(part) if isinstance(part, str) else [VISION_START, part, VISION_END]
    return out + [END] + ids("\n")


def spread(items: list) -> tuple[list[int], list[list[int]]]:
    """Ids and positions [time, row, column]. A text token stands one behind the one before, on all three axes. The
    tokens of an image at position p stand at p in time and p + row, p + column in space; what follows stands behind
    the larger of its sides."""
    flat, positions, p = [], [], 0
    for item in items:
        if isinstance(item, int):
            flat.append(item)
            positions.append([p, p, p])
            p += 1
        else:
            rows, columns = item
            flat += [IMAGE] * (rows * columns)
            positions += [[p, p + row, p + column] for row in range(rows) for column in range(columns)]
            p += max(rows, columns)
    return flat, positions


def talk(reply: str, ending: str, kept: str, part) -> dict:
    opening = [START] + ids("assistant\n")
    # Turn one: the system, then the user with the picture of 4 x 4 tokens and the question, to which a full stop is put.
    prompt = turn("system", "S") + turn("user", (4, 4), QUESTION + ".") + opening
    # The model's first turn ends with <|im_end|>, sampled or put there; the newline behind it is the user's.
    first = ids(kept) + [END]
    shown, image = ("X", (2, 3)) if isinstance(part, list) else ("Y", (4, 4))
    second = ids("\n") + turn("user", shown, image, TASK) + opening
    answer = ids(ANSWER) + [END]
    flat, positions = spread(prompt + first + second + answer)
    begin, between = len(spread(prompt)[0]), len(spread(second)[0])
    end = len(flat)
    # Scored is what the assistant said: its first turn, and its answer, which is last. Counted from the prompt's end.
    scored = [[0, len(first)], [len(first) + between, end - begin]]
    places = [begin + at for run in scored for at in range(*run)]
    row = {
        "size": list(SIZE), "ending": ending,
        "said": ids(reply) + ([END] if ending == "closed" else []), "answer": answer,
        "prompt": flat[:begin], "ids": flat[begin:], "scored": scored, "positions": positions,
        "grids": [[1, 8, 8], [1, 4, 6] if isinstance(part, list) else [1, 8, 8]],
        # The last token predicts nothing and does not run. The prompt is the root, the rest its child. Each scored
        # token is predicted by the one before it.
        "pack": {
            "ids": flat[:-1], "segments": [[0, begin, None], [begin, end - 1 - begin, 0]],
            "predictors": [at - 1 for at in places], "targets": [flat[at] for at in places],
        },
    }
    if isinstance(part, list):
        x1, y1, x2, y2 = part
        pixels = bytes(pixel(x, y, c) for y in range(y1, y2) for x in range(x1, x2) for c in range(3))
        return row | {"crop": part, "crop_rgb": fnv1a(pixels)}
    return row | {"refused": part}


def main() -> None:
    out = {"script": SCRIPT, "question": QUESTION, "task": TASK, "checkpoint": "qwen2_5_vl", "frame": "pixels",
           "talks": {name: talk(*case) for name, case in TALKS.items()}}
    (pathlib.Path(__file__).resolve().parent / "by_hand.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
