/* Gradient of the weights of narrow groups: 2, 4, 8 ... VL channels in, and as many out.
 *
 * A vector of channels of dy and one of x hold whole groups. Every pair of channels of a group meets once in
 *
 *   sums[r][tap][lane] += dy[lane ^ r] * x[lane], r < channels of a group,
 *
 * so no lane is idle, and one turned vector of dy serves all taps. A block of lines is copied first, one vector of
 * channels a pixel, with zeros around x: in place the vectors lie a pixel apart, often in a few sets of the cache. */
#ifndef FASTNN_KERNELS_CONV_WEIGHTS_GROUPS_H
#define FASTNN_KERNELS_CONV_WEIGHTS_GROUPS_H

#define GROUPS_SIDE 3 /* taps of a register tile along each side */
#if VL == 16 || defined(__aarch64__)
#define GROUPS_TURNS 2 /* r at once: with nine taps, 18 accumulators */
#else
#define GROUPS_TURNS 1
#endif
#define GROUPS_FEW 4 /* pixels copied for all vectors before the next */

/* A register tile's share of a block; steps in floats. */
typedef struct groups_tile_args {
    int64_t lines, pixels, x_line, x_pixel, x_kh, x_kw;
    int64_t sums_kh, sums_turn;
    vi turn[GROUPS_TURNS];
    int add;
    const float *ahead; /* to be brought nearer meanwhile, apart floats a pixel */
    int64_t apart;
} groups_tile_args;

typedef void groups_tile_fn(const groups_tile_args *a, const float *x, const float *dy, float *sums);

#define GROUPS_EACH(body)                                                                                            \
    GEMM_UNROLL for (int q = 0; q < GROUPS_TURNS; q++) GEMM_UNROLL for (int h = 0; h < H; h++)                       \
        GEMM_UNROLL for (int w = 0; w < W; w++) {                                                                    \
        vf *const v = &acc[q][h][w];                                                                                 \
        float *const s = sums + q * a->sums_turn + h * a->sums_kh + w * VL;                                          \
        body;                                                                                                        \
    }

/* H by W taps. */
static inline __attribute__((always_inline)) void groups_tile(const int H, const int W, const groups_tile_args *a,
                                                              const float *x, const float *dy, float *sums) {
    const int64_t x_kw = a->x_kw, x_pixel = a->x_pixel, apart = a->apart;
    const float *ahead = a->ahead;
    vf acc[GROUPS_TURNS][GROUPS_SIDE][GROUPS_SIDE];
    const int64_t wrap = a->x_line - a->pixels * x_pixel, pixels = a->pixels, all = a->lines * pixels;
    const float *line[GROUPS_SIDE];
    GROUPS_EACH((void)s; *v = v_zero())
    GEMM_UNROLL for (int h = 0; h < H; h++) line[h] = x + h * a->x_kh;
#pragma GCC unroll 1
    for (int64_t p = 0, left = pixels; p < all; p++, dy += VL, ahead += apart) {
        __builtin_prefetch(ahead, 0, 2);
        const int64_t ends = (left - 2) >> 63; /* all bits at the end of a line: lines are short for a branch */
        left += (pixels & ends) - 1;
        const int64_t step = x_pixel + (wrap & ends);
        vf d[GROUPS_TURNS];
        GEMM_UNROLL for (int q = 0; q < GROUPS_TURNS; q++) d[q] = v_permute(v_load(dy), a->turn[q]);
        GEMM_UNROLL for (int h = 0; h < H; h++) {
            GEMM_UNROLL for (int w = 0; w < W; w++) {
                const vf xv = v_load(line[h] + w * x_kw);
                GEMM_UNROLL for (int q = 0; q < GROUPS_TURNS; q++) acc[q][h][w] = v_fma(xv, d[q], acc[q][h][w]);
            }
            line[h] += step;
            __asm__("" : "+r"(line[h])); /* or each tap gets a pointer of its own */
        }
    }
    if (a->add) GROUPS_EACH(*v += v_load(s))
    GROUPS_EACH(v_store(s, *v))
}

#define GROUPS_TILE(H, W)                                                                                            \
    static void groups_tile_##H##x##W(const groups_tile_args *a, const float *x, const float *dy, float *sums) {     \
        groups_tile(H, W, a, x, dy, sums);                                                                           \
    }
GROUPS_TILE(1, 1)
GROUPS_TILE(1, 2)
GROUPS_TILE(1, 3)
GROUPS_TILE(2, 1)
GROUPS_TILE(2, 2)
GROUPS_TILE(2, 3)
GROUPS_TILE(3, 1)
GROUPS_TILE(3, 2)
GROUPS_TILE(3, 3)

static groups_tile_fn *const groups_tiles[GROUPS_SIDE][GROUPS_SIDE] = {
    {groups_tile_1x1, groups_tile_1x2, groups_tile_1x3},
    {groups_tile_2x1, groups_tile_2x2, groups_tile_2x3},
    {groups_tile_3x1, groups_tile_3x2, groups_tile_3x3},
};

/* The block's vectors of some pixels of a line, each vector to its own copy, apart floats from one to the next: a few
 * pixels for all vectors before the next few, so that memory is read in order. */
static void groups_copy(const fnn_weights_groups *g, const float *src, int64_t pixels, float *dst, int64_t apart) {
    for (int64_t p = 0; p < pixels; p += GROUPS_FEW) {
        const int64_t end = pixels - p < GROUPS_FEW ? pixels : p + GROUPS_FEW;
        for (int64_t v = 0; v < g->vectors; v++) {
            const float *s = src + v * VL;
            float *d = dst + v * apart;
            const int lanes = v == g->vectors - 1 ? g->lanes : VL;
            if (lanes == VL)
                for (int64_t i = p; i < end; i++) v_store(d + i * VL, v_load(s + i * g->channels));
            else
                for (int64_t i = p; i < end; i++) v_store(d + i * VL, v_load_n(s + i * g->channels, lanes));
        }
    }
}

static void groups_zeros(const fnn_weights_groups *g, int64_t pixels, float *dst, int64_t apart) {
    for (int64_t v = 0; v < g->vectors; v++, dst += apart)
        for (int64_t p = 0; p < pixels; p++) v_store(dst + p * VL, v_zero());
}

/* The lines of x that the block meets, with zeros where it meets nothing; width: pixels of a copied line. */
static void groups_copy_x(const fnn_weights_groups *g, int64_t lines, int64_t width, float *dst, int64_t apart) {
    const int64_t left = g->left < width ? g->left : width;
    const int64_t inside = g->iw < width - left ? g->iw : width - left;
    for (int64_t l = 0; l < lines; l++, dst += width * VL) {
        const int64_t h = g->h0 + l;
        if (h < 0 || h >= g->ih) {
            groups_zeros(g, width, dst, apart);
            continue;
        }
        groups_zeros(g, left, dst, apart);
        groups_copy(g, g->x + h * g->iw * g->channels, inside, dst + left * VL, apart);
        groups_zeros(g, width - left - inside, dst + (left + inside) * VL, apart);
    }
}

/* One vector of channels: all its sums. */
static void groups_vector(fnn_weights_groups *g, groups_tile_args *a, const float *x, const float *dy, float *sums) {
    const int64_t taps = g->kh * g->kw;
    for (int64_t r = 0; r < g->group; r += GROUPS_TURNS) {
        for (int q = 0; q < GROUPS_TURNS; q++)
            for (int i = 0; i < VL; i++) a->turn[q][i] = (int32_t)(i ^ (r + q));
        for (int64_t h = 0; h < g->kh; h += GROUPS_SIDE)
            for (int64_t w = 0; w < g->kw; w += GROUPS_SIDE) {
                const int64_t most_h = g->kh - h < GROUPS_SIDE ? g->kh - h : GROUPS_SIDE;
                const int64_t most_w = g->kw - w < GROUPS_SIDE ? g->kw - w : GROUPS_SIDE;
                a->ahead = weights_ahead(g->ahead, g->lines * g->ow, &a->apart, x);
                groups_tiles[most_h - 1][most_w - 1](a, x + h * a->x_kh + w * a->x_kw, dy,
                                                     sums + (r * taps + h * g->kw + w) * VL);
            }
    }
}

/* Adds a block's share to sums[vector][r][tap][lane], or writes it there. scratch: [vector][x's lines, then dy's]. */
static void weights_groups(fnn_weights_groups *g, int add, float *sums, float *scratch) {
    const int64_t width = (g->ow - 1) * g->stride[1] + (g->kw - 1) * g->dilation[1] + 1, line = width * VL;
    const int64_t lines = (g->lines - 1) * g->stride[0] + (g->kh - 1) * g->dilation[0] + 1;
    const int64_t apart = lines * line + g->lines * g->ow * VL, vector = g->group * g->kh * g->kw * VL;
    groups_copy_x(g, lines, width, scratch, apart);
    groups_copy(g, g->dy, g->lines * g->ow, scratch + lines * line, apart);
    groups_tile_args a = {.lines = g->lines, .pixels = g->ow, .x_line = g->stride[0] * line, .add = add};
    a.x_pixel = g->stride[1] * VL, a.x_kh = g->dilation[0] * line, a.x_kw = g->dilation[1] * VL;
    a.sums_kh = g->kw * VL, a.sums_turn = g->kh * g->kw * VL;
    for (int64_t v = 0; v < g->vectors; v++)
        groups_vector(g, &a, scratch + v * apart, scratch + v * apart + lines * line, sums + v * vector);
}

/* The sums of chunks, apart floats from one to the next, added in their order and put where they belong in dw: the
 * vector's output channels, [channel][channel of its group][tap]. */
static void weights_groups_turn(int64_t group, int64_t taps, int64_t lanes, const float *sums, int64_t chunks,
                                int64_t apart, float *dw) {
    for (int64_t r = 0; r < group; r++)
        for (int64_t first = 0; first < taps; first += VL) {
            const int64_t n = taps - first < VL ? taps - first : VL;
            float total[VL * VL], turned[VL * VL];
            for (int64_t t = 0; t < n; t++) {
                const float *p = sums + (r * taps + first + t) * VL;
                vf sum = v_load(p);
                for (int64_t i = 1; i < chunks; i++) sum += v_load(p + i * apart);
                v_store(total + t * VL, sum);
            }
            copy_transpose(VL, n, total, VL, turned, VL);
            for (int64_t l = 0; l < lanes; l++)
                v_store_n(dw + ((l ^ r) * group + l % group) * taps + first, v_load(turned + l * VL), (int)n);
        }
}

#endif
