"""Cases of Winograd's convolution: both sizes of tile, maps that end within one, few tiles and many, channels past
vectors, panels and pieces."""

from __future__ import annotations

from collections.abc import Iterator

from case_data import Case
from cases_matrix import Conv, same
from tiles import column_tails

Shape = tuple[int, int, int, int]

INSIDE: Shape = same(1)


def winograd_cases() -> Iterator[Case]:
    for m, many in ((2, (2, 17, 93, 93)), (4, (2, 17, 109, 108))):
        for conv in winograd_convs(m, many):
            yield from conv.cases_by(f"winograd{m}", f"winograd{m}_{conv.name}")
    for conv in wide_convs():
        yield from conv.cases_by("winograd4", f"winograd5_{conv.name}")


def wino(name: str, x: Shape, oc: int, padding: Shape = INSIDE, group: str = "winograd") -> Conv:
    return Conv(name, x, oc, (3, 3), (1, 1), padding, group=group)


def winograd_convs(m: int, many: Shape) -> Iterator[Conv]:
    yield wino("whole", (2, 16, 8, 8), 16)
    yield wino("odd", (1, 19, 9, 11), 21)
    yield wino("valid", (2, 18, 7, 6), 17, same(0))
    yield wino("full", (1, 16, 5, 6), 20, same(2))
    yield wino("far", (1, 16, 3, 2), 16, same(4))
    yield wino("pad1202", (1, 17, 6, 9), 16, (1, 2, 0, 2))
    yield wino("one_pixel", (3, 16, 3, 3), 33, same(0))
    yield wino("line", (1, 16, 1, 13), 16)
    yield wino("batch0", (0, 16, 6, 6), 16, group="empty")
    for height, width in ((13, 14), (10, 9), (6, 15), (2, 1)):  # every way to end in shorter tiles
        yield wino(f"short{height}x{width}", (2, 17, height, width), 18, group="short")
    yield wino("short_blocks", (20, 16, 13, 15), 16, group="blocks")
    for size in [size for size in column_tails() if size > 16]:
        yield wino(f"oc{size}", (1, 16, 5, 4), size, group="tails")
        yield wino(f"ic{size}", (1, size, 4, 5), 16, group="tails")
    yield wino("pieces", (1, 130, 6, 7), 262, group="blocks")
    yield wino("blocks", (1, 16, 20 * m, 19 * m + 1), 17, group="blocks")
    yield wino("many_tiles", many, 18, group="blocks")


def wide(name: str, x: Shape, oc: int, padding: int = 2, group: str = "winograd") -> Conv:
    return Conv(name, x, oc, (5, 5), (1, 1), same(padding), group=group)


def wide_convs() -> Iterator[Conv]:
    """5x5: tiles of two pixels, the last of an odd side of one."""
    yield wide("whole", (2, 16, 8, 8), 16)
    yield wide("odd", (1, 19, 9, 11), 21)
    yield wide("valid", (2, 18, 7, 6), 17, 0)
    yield wide("full", (1, 16, 5, 6), 20, 4)
    yield wide("one_pixel", (3, 16, 5, 5), 33, 0)
    yield wide("batch0", (0, 16, 6, 6), 16, group="empty")
    for height, width in ((9, 10), (10, 9), (7, 7)):
        yield wide(f"short{height}x{width}", (2, 17, height, width), 18, group="short")
    for size in [size for size in column_tails() if size > 16]:
        yield wide(f"oc{size}", (1, 16, 6, 5), size, group="tails")
        yield wide(f"ic{size}", (1, size, 5, 6), 16, group="tails")
    yield wide("pieces", (1, 130, 6, 7), 262, group="blocks")
    yield wide("blocks", (1, 16, 40, 39), 17, group="blocks")
    yield wide("many_tiles", (2, 17, 91, 93), 18, group="blocks")
