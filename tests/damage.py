"""Files damaged at random."""

import random


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, taken out, inserted or exchanged, or the end cut off."""
    changed = bytearray(content)
    # Half of the time near the beginning, where most of what is no number lies.
    end = len(content) if draw.random() < 0.5 else min(len(content), 6000)
    first, second = sorted(draw.randrange(end) for _ in range(2))
    length = draw.choice((1, 2, 4, 8, 64, 1000))
    way = draw.randrange(7)
    if way <= 2:
        for _ in range(draw.choice((1, 1, 2, 5, 20))):
            changed[draw.randrange(end)] = draw.choice((0, 1, 0xFF, *(draw.randrange(256) for _ in range(5))))
    elif way == 3:
        del changed[first : first + length]
    elif way == 4:
        changed[first:first] = draw.randbytes(length)
    elif way == 5:
        changed[first : first + length], changed[second : second + length] = (
            changed[second : second + length],
            changed[first : first + length],
        )
    else:
        del changed[draw.randrange(len(changed)) :]
    return bytes(changed)


WORDS = (
    "", " ", "\t", "0", "1", "-1", "1.5", "1e9", "nan", "9" * 400, "2147483648", "9223372036854775808", "١٢", "x", "..", "/", "~",
    "../../etc/passwd", "\0", "\x1b[31m", "\ufeff", "é", "e\u0301", "\u2028", "x" * 5000, "&a [*a, *a]", "*a", "<<: *a", "{", "[",
    "'", '"', "!!python/none", "true", "null", "target", "nontarget", ",", "=", "#",
)  # fmt: skip


def damaged_text(content: str, draw: random.Random) -> bytes:
    """Lines or their words taken out, doubled, exchanged or replaced, other line ends, or bytes damaged."""
    lines = content.splitlines()
    way = draw.randrange(8)
    place, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    if way == 0:
        del lines[place]
    elif way == 1:
        lines.insert(place, lines[other])
    elif way == 2:
        lines[place], lines[other] = lines[other], lines[place]
    elif way <= 5:
        separator = draw.choice(("\t", " ", ",", ":"))
        words = lines[place].split(separator)
        words[draw.randrange(len(words))] = draw.choice(WORDS)
        lines[place] = separator.join(words)
    elif way == 6:
        return (draw.choice(("\r\n", "\r", "\n\n", "")).join(lines)).encode(
            draw.choice(("utf-8", "utf-8-sig", "utf-16"))
        )
    else:
        return damaged_bytes(content.encode(), draw)
    return ("\n".join(lines) + "\n").encode()
