"""Cases of the matrix products and of convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from case_data import Case, Input
from tiles import column_tails, lane_tails, row_tails

Pair = tuple[int, int]


def f(*shape: int) -> Input:
    return Input(shape)


def matrix_cases() -> Iterator[Case]:
    for geometry in linear_geometries():
        yield from linear_cases(*geometry)
    yield from matmul_cases()
    for conv in conv_geometries():
        yield from conv.cases()


# ---- linear: name, leading shape, in, out, group ----


def linear_geometries() -> Iterator[tuple[str, tuple[int, ...], int, int, str]]:
    yield "one", (1,), 1, 1, "basic"
    yield "small", (3,), 5, 7, "basic"
    yield "row", (1,), 40, 10, "basic"
    yield "column", (9,), 13, 1, "basic"
    yield "deep", (2,), 700, 3, "basic"
    yield "3d", (2, 3), 6, 5, "basic"
    yield "4d", (2, 3, 2), 4, 5, "basic"
    yield "batch0", (0,), 6, 5, "empty"
    for size in row_tails():
        yield f"rows{size}", (size,), 9, 11, "tails"
        yield f"packed_rows{size}", (size,), 9, 130, "tails"
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 17, 24, 25):
        yield f"few_rows{size}", (size,), 147, 70, "tails"
        yield f"few_long_rows{size}", (size,), 270, 37, "tails"
    for rows, inside in ((3, 2061), (6, 530), (9, 1544), (17, 4107)):
        yield f"swept_rows{rows}", (rows,), inside, 21, "tails"
    for size in column_tails():
        yield f"out{size}", (5,), 9, size, "tails"
    for size in lane_tails():
        yield f"in{size}", (3,), size, 6, "tails"
    yield "past_depth", (33,), 1034, 70, "blocks"
    yield "aliased_rows", (17,), 1024, 70, "blocks"
    yield "past_rows", (345,), 20, 35, "blocks"
    yield "past_columns", (18,), 40, 1050, "blocks"
    yield "long_batch", (4130,), 9, 18, "blocks"
    yield "turned", (37,), 101, 245, "blocks"
    yield "turned_vectors", (64,), 130, 352, "blocks"
    yield "panels_once", (41,), 165, 530, "blocks"
    yield "long_panels", (270,), 1050, 135, "blocks"
    yield "tiles", (200,), 300, 330, "blocks"
    yield "tiles_long", (710,), 290, 310, "blocks"
    yield "tiles_deep", (100,), 2100, 140, "blocks"
    for rows in (1, 3):
        yield f"far_rows{rows}", (rows,), 9223, 131, "big"
    yield "lenet_fc1", (64,), 400, 120, "big"
    yield "mlp", (128,), 784, 512, "big"
    yield "resnet_fc", (32,), 2048, 1000, "big"


def linear_cases(name: str, lead: tuple[int, ...], inside: int, outside: int, group: str) -> Iterator[Case]:
    x, dy, w = f(*lead, inside), f(*lead, outside), f(outside, inside)
    yield Case("linear", name, (x, w, f(outside)), {}, group)
    if group != "big":
        yield Case("linear", f"{name}_nobias", (x, w), {}, group)
    yield Case("linear_bwd_data", name, (dy, w), {}, group)
    yield Case("linear_bwd_weights", name, (dy, x), {}, group)


# ---- matmul ----


def matmul_cases() -> Iterator[Case]:
    sizes = [("small", 3, 5, 7), ("vector", 1, 9, 1), ("tile", 15, 8, 33), ("deep", 4, 300, 6), ("block", 345, 40, 65)]
    sizes += [("depth", 20, 1034, 35), ("columns", 18, 21, 1050), ("few", 6, 70, 147), ("turned", 30, 70, 100)]
    sizes += [("once", 31, 70, 165), ("tiles", 200, 300, 210)]
    for name, m, k, n in sizes:
        for transpose_a, transpose_b in ((False, False), (False, True), (True, False), (True, True)):
            mark = f"{'t' if transpose_a else 'n'}{'t' if transpose_b else 'n'}"
            a, b = (k, m) if transpose_a else (m, k), (n, k) if transpose_b else (k, n)
            attrs = {"transpose_a": transpose_a, "transpose_b": transpose_b}
            group = "blocks" if name in ("block", "depth", "columns", "tiles") else "basic"
            yield Case("matmul", f"{name}_{mark}", (f(*a), f(*b)), attrs, group)
            if name in ("small", "tile", "few", "tiles"):
                yield Case("matmul", f"batch_{name}_{mark}", (f(3, *a), f(3, *b)), attrs, group)
    plain = {"transpose_a": False, "transpose_b": False}
    yield Case("matmul", "batch_4d", (f(2, 3, 4, 5), f(2, 3, 5, 6)), plain)
    yield Case("matmul", "batch_4d_tt", (f(2, 3, 5, 4), f(2, 3, 6, 5)), {"transpose_a": True, "transpose_b": True})
    yield Case("matmul", "batch0", (f(0, 4, 5), f(0, 5, 6)), plain, "empty")
    yield Case("matmul", "rows0", (f(0, 5), f(5, 6)), plain, "empty")
    yield Case("matmul", "square256", (f(256, 256), f(256, 256)), plain, "big")


# ---- convolution ----


@dataclass(frozen=True, slots=True)
class Conv:
    """One geometry: forward with and without bias, and both backwards."""

    name: str
    x: tuple[int, int, int, int]
    oc: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    group: str = "basic"

    def output(self) -> tuple[int, int, int, int]:
        """Shape of the output."""
        n, _, ih, iw = self.x
        top, bottom, left, right = self.padding
        oh = (ih + top + bottom - self.dilation[0] * (self.kernel[0] - 1) - 1) // self.stride[0] + 1
        ow = (iw + left + right - self.dilation[1] * (self.kernel[1] - 1) - 1) // self.stride[1] + 1
        assert min(oh, ow) > 0, f"{self.name} has no output"
        return n, self.oc, oh, ow

    def cases(self) -> Iterator[Case]:
        """The four cases of this geometry, by the algorithm that is chosen for it and by others that it would hide."""
        yield from self.cases_by("auto", self.name)
        if self.groups == 1 and max(self.x[1], self.oc) <= 16 and self.group not in ("big", "empty"):
            yield from self.cases_by("small", f"{self.name}_small")
            yield from self.cases_by("gemm", f"{self.name}_gemm")
        elif self.name.startswith("pointwise"):
            yield from self.cases_by("gemm", f"{self.name}_gemm")

    def cases_by(self, algorithm: str, name: str) -> Iterator[Case]:
        attrs: dict[str, Any] = {
            "stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups,
            "algorithm": algorithm,
        }  # fmt: skip
        x, dy, w = f(*self.x), f(*self.output()), f(self.oc, self.x[1] // self.groups, *self.kernel)
        yield Case("conv2d", name, (x, w, f(self.oc)), attrs, self.group)
        if self.group != "big":
            yield Case("conv2d", f"{name}_nobias", (x, w), attrs, self.group)
        yield Case("conv2d_bwd_data", name, (dy, w), {"input_size": self.x[2:], **attrs}, self.group)
        yield Case("conv2d_bwd_weights", name, (dy, x), {"kernel_size": self.kernel, **attrs}, self.group)


def same(pad: int) -> tuple[int, int, int, int]:
    return (pad, pad, pad, pad)


def conv_geometries() -> Iterator[Conv]:
    yield from plain_convs()
    yield from tail_convs()
    yield from grouped_convs()
    yield from block_convs()
    yield from rim_convs()
    yield from pointwise_convs()
    yield from small_convs()
    yield from network_convs()


def plain_convs() -> Iterator[Conv]:
    yield Conv("1x1", (2, 5, 4, 6), 7, (1, 1))
    yield Conv("1x1_stride2", (2, 5, 5, 6), 7, (1, 1), (2, 2))
    yield Conv("1x1_stride3", (2, 4, 7, 8), 6, (1, 1), (3, 3), group="stride>kernel")
    yield Conv("1x1_padded", (1, 3, 4, 4), 5, (1, 1), padding=same(1))
    yield Conv("1x1_map1", (3, 20, 1, 1), 9, (1, 1))
    yield Conv("3x3", (2, 4, 6, 7), 5, (3, 3))
    yield Conv("3x3_same", (2, 4, 6, 7), 5, (3, 3), padding=same(1))
    yield Conv("3x3_full", (1, 3, 5, 4), 4, (3, 3), padding=same(2))
    yield Conv("3x3_stride2", (2, 4, 8, 9), 6, (3, 3), (2, 2), same(1), group="overlap")
    yield Conv("3x3_stride3", (1, 4, 9, 11), 6, (3, 3), (3, 3))
    yield Conv("3x3_stride2x1", (1, 3, 7, 7), 4, (3, 3), (2, 1), same(1))
    yield Conv("2x2_stride3", (1, 3, 8, 9), 4, (2, 2), (3, 3), group="stride>kernel")
    yield Conv("3x3_stride5", (1, 3, 12, 14), 4, (3, 3), (5, 4), same(1), group="stride>kernel")
    yield Conv("2x2", (2, 3, 5, 5), 4, (2, 2))
    yield Conv("2x3", (2, 3, 6, 5), 4, (2, 3), padding=(1, 0, 1, 1))
    yield Conv("5x5_same", (1, 3, 8, 8), 6, (5, 5), padding=same(2))
    yield Conv("7x7_stride2", (1, 3, 15, 14), 8, (7, 7), (2, 2), same(3))
    yield Conv("1d", (2, 6, 1, 20), 5, (1, 5), padding=(0, 0, 2, 2))
    yield Conv("1d_stride2", (2, 6, 1, 21), 5, (1, 4), (1, 2))
    yield Conv("column_kernel", (2, 3, 11, 3), 4, (5, 1), padding=(2, 2, 0, 0))
    yield Conv("whole_image", (3, 6, 5, 5), 10, (5, 5))
    yield Conv("one_channel", (2, 1, 8, 8), 1, (3, 3), padding=same(1))
    yield Conv("one_in", (2, 1, 9, 9), 6, (5, 5))
    yield Conv("one_out", (2, 6, 7, 7), 1, (3, 3), padding=same(1))
    yield Conv("batch1", (1, 8, 5, 5), 8, (3, 3), padding=same(1))
    yield Conv("batch0", (0, 4, 6, 6), 5, (3, 3), padding=same(1), group="empty")
    yield Conv("leftover", (1, 3, 8, 10), 4, (3, 3), (4, 4))
    for padding in ((1, 2, 0, 3), (0, 1, 0, 1), (2, 0, 1, 0)):
        mark = "".join(map(str, padding))
        yield Conv(f"3x3_pad{mark}", (2, 4, 6, 5), 5, (3, 3), padding=padding, group="asymmetric")
        yield Conv(f"3x3_stride2_pad{mark}", (1, 4, 7, 8), 5, (3, 3), (2, 2), padding, group="asymmetric")
    yield Conv("dilation2", (2, 4, 9, 8), 5, (3, 3), dilation=(2, 2), padding=same(2), group="dilation")
    yield Conv("dilation1x3", (1, 3, 6, 12), 4, (3, 3), dilation=(1, 3), group="dilation")
    yield Conv("dilation2_stride2", (1, 4, 11, 12), 5, (3, 3), (2, 2), same(1), (2, 2), group="dilation")
    yield Conv("dilation3_stride2", (1, 2, 13, 12), 3, (2, 3), (2, 3), same(2), (3, 2), group="dilation")
    # Taps that meet nothing but padding: on one side, on both, of which some between live ones.
    yield Conv("3x3_map1", (5, 20, 1, 1), 18, (3, 3), padding=same(1), group="dead taps")
    yield Conv("3x3_map1_groups", (3, 12, 1, 1), 8, (3, 3), padding=same(1), groups=2, group="dead taps")
    yield Conv("3x3_map1_wide", (3, 17, 1, 1), 7, (3, 3), padding=same(2), group="dead taps")
    yield Conv("3x3_map1_depthwise", (3, 9, 1, 1), 9, (3, 3), padding=same(1), groups=9, group="dead taps")
    yield Conv("3x3_line", (2, 18, 1, 9), 20, (3, 3), padding=same(1), group="dead taps")
    yield Conv("5x5_map2", (2, 17, 2, 2), 6, (5, 5), padding=same(2), group="dead taps")
    yield Conv("5x3_map2_stride2", (2, 5, 2, 3), 6, (5, 3), (2, 2), (2, 3, 1, 0), group="dead taps")
    yield Conv("3x3_map3_dilation4", (2, 17, 3, 2), 18, (3, 3), dilation=(4, 3), padding=same(4), group="dead taps")
    yield Conv("3x3_map2_dilation2", (2, 6, 2, 2), 5, (3, 3), dilation=(2, 3), padding=(3, 4, 3, 4), group="dead taps")
    yield Conv("2x2_padding_only", (1, 4, 1, 1), 5, (2, 2), dilation=(2, 2), padding=same(1), group="dead taps")
    yield Conv("big_pad", (1, 3, 4, 4), 4, (3, 3), padding=same(5), group="big pad")
    yield Conv("big_pad_stride3", (2, 3, 4, 5), 4, (3, 3), (3, 3), (5, 4, 6, 3), group="big pad")


def tail_convs() -> Iterator[Conv]:
    for size in lane_tails():
        yield Conv(f"ic{size}", (1, size, 5, 5), 6, (3, 3), padding=same(1), group="tails")
    for size in column_tails():
        yield Conv(f"oc{size}", (1, 5, 4, 5), size, (3, 3), padding=same(1), group="tails")
        yield Conv(f"1x1_oc{size}", (1, 6, 3, 5), size, (1, 1), group="tails")
    for size in row_tails():
        yield Conv(f"ow{size}", (1, 4, 3, size), 6, (3, 3), padding=same(1), group="tails")
    yield Conv("tails_all", (3, 17, 7, 9), 33, (3, 3), padding=same(1), group="tails")
    yield Conv("tails_stride2", (2, 19, 9, 15), 35, (3, 3), (2, 2), same(1), group="tails")
    yield Conv("deep", (1, 130, 5, 6), 20, (3, 3), padding=same(1), group="tails")
    yield Conv("wide", (2, 16, 6, 6), 130, (3, 3), padding=same(1), group="tails")


def grouped_convs() -> Iterator[Conv]:
    yield Conv("groups2", (2, 6, 6, 5), 8, (3, 3), padding=same(1), groups=2, group="groups")
    yield Conv("groups3_stride2", (1, 9, 7, 8), 6, (3, 3), (2, 2), same(1), groups=3, group="groups")
    yield Conv("groups2_1x1", (2, 8, 4, 5), 6, (1, 1), groups=2, group="groups")
    yield Conv("groups2_tails", (1, 34, 5, 5), 66, (3, 3), padding=same(1), groups=2, group="groups")
    yield Conv("groups_of_4_pads", (2, 24, 9, 12), 24, (2, 4), (1, 2), (0, 1, 2, 3), (2, 1), groups=6, group="groups")
    yield Conv("groups_of_8_blocks", (3, 136, 40, 11), 136, (3, 3), padding=same(1), groups=17, group="groups")
    yield Conv(
        "groups_of_16_wide_pads", (1, 32, 4, 5), 32, (3, 3), (2, 1), (3, 3, 4, 4), (1, 2), groups=2, group="groups"
    )
    yield Conv("groups4_dilation", (1, 8, 9, 9), 8, (3, 3), dilation=(2, 2), groups=4, group="groups")
    for channels in lane_tails():
        yield Conv(
            f"depthwise{channels}", (2, channels, 5, 6), channels, (3, 3), padding=same(1), groups=channels,
            group="depthwise",
        )  # fmt: skip
    for channels in (3, 16, 17):
        name = f"depthwise{channels}"
        yield Conv(
            f"{name}_stride2", (1, channels, 8, 9), channels, (3, 3), (2, 2), same(1), groups=channels,
            group="depthwise",
        )  # fmt: skip
        yield Conv(
            f"{name}_5x5", (1, channels, 9, 8), channels, (5, 5), (1, 1), same(2), groups=channels, group="depthwise"
        )  # fmt: skip
        yield Conv(
            f"{name}_multiplier2", (2, channels, 6, 6), 2 * channels, (3, 3), (1, 1), same(1), groups=channels,
            group="depthwise",
        )  # fmt: skip
        yield Conv(
            f"{name}_dilation2_pad0123", (1, channels, 9, 7), channels, (3, 3), (1, 2), (0, 1, 2, 3), (2, 2),
            groups=channels, group="depthwise",
        )  # fmt: skip
    yield from depthwise_tiles()
    yield Conv("depthwise_batch0", (0, 8, 6, 6), 8, (3, 3), padding=same(1), groups=8, group="empty")


def depthwise_tiles() -> Iterator[Conv]:
    """Lines and columns around a register tile's, with every padding and phase that its border knows."""
    for k, stride in ((3, 1), (3, 2), (5, 1), (5, 2)):
        mark = f"depthwise_{k}x{k}_stride{stride}"
        for ih, iw in ((1, 1), (2, 3), (4, 7), (7, 7), (6, 8), (9, 14), (13, 16), (5, 29)):
            yield Conv(
                f"{mark}_{ih}x{iw}", (2, 20, ih, iw), 20, (k, k), (stride, stride), same(k // 2), groups=20,
                group="depthwise",
            )  # fmt: skip
        for padding in (same(0), (0, 1, 1, 0), (1, 0, 2, 3), same(k - 1), same(k + 2)):
            name = f"{mark}_pad{''.join(map(str, padding))}"
            yield Conv(name, (1, 19, 10, 11), 19, (k, k), (stride, stride), padding, groups=19, group="depthwise")
    # Turned groups: every size of a group, part of a vector, lines longer than a tile, padding of every width.
    for channels, groups in ((2, 9), (4, 5), (8, 3), (16, 2)):
        for pad in (0, 1, 2):
            yield Conv(
                f"turned{channels}_pad{pad}",
                (2, channels * groups, 6, 17),
                channels * groups,
                (3, 3),
                padding=same(pad),
                groups=groups,
                group="groups",
            )
    yield Conv("turned_tall", (1, 24, 9, 5), 24, (5, 3), padding=(3, 1, 0, 2), groups=6, group="groups")
    yield Conv("turned_blocks", (1, 512, 30, 18), 512, (3, 3), padding=same(1), groups=64, group="blocks")


def block_convs() -> Iterator[Conv]:
    """Past the sizes at which work is cut: rows, depth and columns of a block, bands of lines, chunks of a long sum."""
    yield Conv("past_rows", (2, 5, 20, 33), 9, (3, 3), padding=same(1), group="blocks")
    yield Conv("past_depth", (1, 117, 4, 5), 9, (3, 3), padding=same(1), group="blocks")
    yield Conv("past_columns", (1, 7, 3, 4), 530, (1, 1), group="blocks")
    yield Conv("past_columns_3x3", (1, 9, 5, 4), 517, (3, 3), padding=same(1), group="blocks")
    yield Conv("lines_stride2", (1, 6, 75, 9), 7, (3, 3), (2, 2), same(1), group="blocks")
    yield Conv("lines_few_channels", (1, 3, 70, 13), 8, (5, 5), padding=same(2), group="blocks")
    yield Conv("wide_lines", (1, 4, 5, 131), 6, (3, 3), padding=same(1), group="blocks")
    yield Conv("wide_lines_stride2", (1, 3, 7, 133), 6, (3, 3), (2, 2), same(1), group="blocks")
    yield Conv("past_block", (2, 64, 66, 60), 5, (3, 3), padding=same(1), group="blocks")
    yield Conv("past_block_stride2", (1, 70, 81, 90), 5, (3, 3), (2, 2), same(1), group="blocks")
    yield Conv("many_weights", (1, 130, 4, 5), 390, (3, 3), padding=same(1), group="blocks")
    yield Conv("many_weights_pairs", (3, 72, 3, 6), 264, (3, 3), padding=same(1), group="blocks")
    yield Conv("aliased_pixels", (1, 1024, 3, 4), 6, (3, 2), padding=same(1), group="blocks")
    yield Conv("long_sum", (2, 4, 47, 46), 5, (3, 3), padding=same(1), group="blocks")
    yield Conv("long_sum_groups", (2, 6, 47, 46), 6, (3, 3), (1, 1), same(1), groups=2, group="blocks")
    yield Conv("long_sum_1x1", (3, 17, 40, 41), 9, (1, 1), group="blocks")
    yield Conv("long_sum_spans", (2, 3, 37, 39), 37, (5, 5), (1, 1), (2, 1, 0, 3), group="blocks")
    yield Conv("long_sum_rows_x", (3, 10, 28, 27), 40, (5, 5), padding=same(2), group="blocks")
    yield Conv("long_sum_rows_x_1x1", (3, 9, 28, 27), 70, (1, 1), group="blocks")
    yield Conv("long_sum_few_outputs_1x1", (2, 70, 20, 21), 48, (1, 1), group="blocks")
    yield Conv("few_images", (9, 21, 7, 6), 35, (3, 3), padding=same(1), group="blocks")
    yield Conv("few_images_stride2", (9, 34, 7, 7), 20, (1, 1), (2, 2), padding=(0, 1, 1, 2), group="blocks")
    yield Conv("rows_again", (1, 70, 28, 28), 600, (1, 3), padding=(0, 0, 1, 1), group="blocks")
    yield Conv("many_panels", (5, 600, 3, 2), 40, (3, 3), (1, 1), same(1), group="blocks")
    yield Conv("many_panels_1x1", (6, 300, 6, 7), 610, (1, 1), group="blocks")
    yield Conv("depthwise_lines", (2, 19, 40, 41), 19, (3, 3), (1, 1), same(1), groups=19, group="blocks")
    yield Conv("depthwise_stride2_lines", (3, 70, 33, 20), 70, (3, 3), (2, 2), same(1), groups=70, group="blocks")


def rim_convs() -> Iterator[Conv]:
    """Taps that some outputs of a line meet only as padding, with channels enough that those are spared."""
    yield Conv("rims_5x5", (2, 67, 9, 7), 40, (5, 5), padding=same(2), group="blocks")
    yield Conv("rims_whole_line", (1, 48, 9, 13), 33, (3, 3), padding=same(1), group="blocks")
    yield Conv("rims_two_strips", (1, 81, 5, 27), 20, (5, 5), padding=same(2), group="blocks")
    yield Conv("rims_left", (3, 50, 8, 10), 20, (3, 3), padding=(0, 0, 2, 0), group="blocks")
    yield Conv("rims_dilated", (1, 50, 9, 10), 20, (3, 3), padding=same(4), dilation=(4, 4), group="blocks")
    yield Conv("rims_dead", (1, 130, 8, 17), 20, (1, 3), padding=(0, 0, 15, 15), dilation=(1, 15), group="blocks")
    yield Conv("rims_stride2", (1, 61, 19, 21), 40, (5, 5), (2, 2), same(2), group="blocks")
    yield Conv("rims_aliased", (1, 1024, 9, 5), 18, (3, 3), padding=same(1), group="blocks")
    yield Conv("rims_groups", (2, 134, 6, 9), 66, (3, 3), padding=same(1), groups=2, group="blocks")
    yield Conv("rims_of_seven", (2, 130, 7, 12), 20, (1, 7), padding=(0, 0, 3, 3), group="blocks")
    yield Conv("rims_of_many", (2, 130, 7, 12), 20, (1, 11), padding=(0, 0, 5, 5), group="blocks")


def pointwise_convs() -> Iterator[Conv]:
    """1x1: rows read in place or packed, lines of strided pixels, zeros between the pixels that a stride meets."""
    for stride in ((1, 1), (2, 2), (3, 3), (2, 3), (1, 2), (2, 1)):
        mark = "x".join(map(str, stride))
        for ih, iw in ((6, 48), (7, 43), (13, 90)):
            yield Conv(f"pointwise{mark}_{ih}x{iw}", (2, 20, ih, iw), 40, (1, 1), stride, group="blocks")
    yield Conv("pointwise_aliased", (2, 1024, 5, 7), 50, (1, 1), group="blocks")
    yield Conv("pointwise_aliased_stride2", (1, 512, 4, 30), 40, (1, 1), (2, 2), group="blocks")
    yield Conv("pointwise_deep", (1, 1030, 6, 8), 100, (1, 1), group="blocks")
    yield Conv("pointwise_column_groups", (1, 1030, 5, 205), 260, (1, 1), group="blocks")
    yield Conv("pointwise_past_rows", (2, 24, 20, 21), 70, (1, 1), group="blocks")
    yield Conv("pointwise_many_weights", (1, 520, 6, 28), 530, (1, 1), (2, 2), group="blocks")
    yield Conv("pointwise_tiles", (2, 300, 11, 15), 330, (1, 1), group="blocks")
    yield Conv("pointwise_tiles_stride2", (2, 300, 10, 30), 330, (1, 1), (2, 2), group="blocks")
    yield Conv("pointwise_tiles_groups", (2, 600, 9, 13), 660, (1, 1), groups=2, group="blocks")
    yield Conv("pointwise_tiles_pixels", (2, 90, 40, 39), 100, (1, 1), group="blocks")
    yield Conv("pointwise_groups", (2, 36, 9, 40), 70, (1, 1), (1, 1), groups=2, group="blocks")
    yield Conv("pointwise_groups_stride2", (2, 36, 8, 40), 70, (1, 1), (2, 2), groups=2, group="blocks")
    yield Conv("pointwise_padded_stride2", (1, 18, 8, 40), 20, (1, 1), (2, 2), (1, 1, 1, 1), group="blocks")
    # The weights' gradient of few pixels and many channels: one block, whose dw is written line by line.
    yield Conv("pointwise_wide_x", (2, 165, 7, 7), 90, (1, 1), group="blocks")


def small_convs() -> Iterator[Conv]:
    """Few channels: whole images in the lanes and pieces of them, full and half empty lanes, every channel count."""
    for batch in (1, 3, 4, 16, 17, 35):
        yield Conv(f"small_batch{batch}", (batch, 6, 12, 12), 16, (5, 5), group="small")
        yield Conv(f"small_padded_batch{batch}", (batch, 1, 9, 14), 6, (5, 5), padding=same(2), group="small")
    for channels in range(1, 17):
        yield Conv(
            f"small_channels{channels}", (5, channels, 6, 7), 17 - channels, (3, 3), padding=same(1), group="small"
        )
    yield Conv("small_wide_image", (1, 2, 40, 61), 3, (3, 3), padding=same(1), group="small")
    yield Conv("small_stride2", (9, 3, 21, 20), 8, (5, 5), (2, 2), same(2), group="small")
    yield Conv("small_dilation2", (9, 3, 17, 18), 4, (3, 3), padding=same(2), dilation=(2, 2), group="small")
    yield Conv("small_borders", (18, 2, 3, 4), 3, (5, 3), padding=(4, 1, 2, 5), group="small")


def network_convs() -> Iterator[Conv]:
    yield Conv("lenet_conv1", (16, 1, 28, 28), 6, (5, 5), padding=same(2), group="big")
    yield Conv("lenet_conv2", (16, 6, 14, 14), 16, (5, 5), group="big")
    yield Conv("cifar_conv2", (16, 32, 32, 32), 32, (3, 3), padding=same(1), group="big")
    yield Conv("alexnet_conv1", (1, 3, 227, 227), 96, (11, 11), (4, 4), group="big")
    yield Conv("alexnet_conv2", (1, 96, 27, 27), 256, (5, 5), padding=same(2), groups=2, group="big")
    yield Conv("resnet_stem", (1, 3, 224, 224), 64, (7, 7), (2, 2), same(3), group="big")
    yield Conv("resnet_3x3_56", (1, 64, 56, 56), 64, (3, 3), padding=same(1), group="big")
    yield Conv("resnet_3x3_14", (2, 256, 14, 14), 256, (3, 3), padding=same(1), group="big")
    yield Conv("resnet_3x3_7", (4, 512, 7, 7), 512, (3, 3), padding=same(1), group="big")
    yield Conv("resnet_down", (2, 128, 28, 28), 256, (1, 1), (2, 2), group="big")
    yield Conv("resnet_expand", (2, 64, 56, 56), 256, (1, 1), group="big")
    yield Conv("mobilenet_dw_112", (1, 32, 112, 112), 32, (3, 3), padding=same(1), groups=32, group="big")
    yield Conv("mobilenet_dw_stride2", (1, 64, 112, 112), 64, (3, 3), (2, 2), same(1), groups=64, group="big")
    yield Conv("mobilenet_dw_56", (3, 144, 56, 56), 144, (3, 3), padding=same(1), groups=144, group="big")
    yield Conv("efficientnet_dw_stride2", (2, 144, 57, 56), 144, (5, 5), (2, 2), same(2), groups=144, group="big")
    yield Conv("resnext_3x3", (1, 128, 28, 28), 128, (3, 3), padding=same(1), groups=32, group="big")
