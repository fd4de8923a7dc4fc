// pool: the largest number or the mean under a window, and the way back.
//
// Shapes   x, dx (B, H, W, C), y, dy (B, OH, OW, C) float32, chosen (B, OH, OW, C) int32.
// Launch   local (LANES, 1, 1); forward: global (LANES, OH, B), a group pools a row of positions;
//          backward: global (LANES, H, B), a group gathers a row of pixels.
// Mirror   engine/numpy_backend/images.py: max_pool, max_pool_backward, avg_pool, avg_pool_backward.
// Bound    memory: 4 bytes a number of x and y, 4 more of chosen.
// Tuning   WIDTH, LANES.
#include "vector.clh"
#include "window.clh"

#define ivec JOIN(int, WIDTH)

static inline ivec load_int(const int n, const int at, __global const int *p)
{
    if (at + WIDTH <= n) return VLOAD(0, p + at);
    int part[WIDTH];
    for (int i = 0; i < WIDTH; ++i) part[i] = at + i < n ? p[at + i] : 0;
    return VLOAD(0, part);
}

static inline void store_int(const ivec v, const int n, const int at, __global int *p)
{
    int part[WIDTH];
    VSTORE(v, 0, part);
    for (int i = 0; i < WIDTH && at + i < n; ++i) p[at + i] = part[i];
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void max_pool(
    WINDOW,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at,
    __global int *chosen, const ulong chosen_at)
{
    const int row = get_group_id(1), b = get_group_id(2);
    const long out = ((long)b * out_h + row) * out_w * channels;
    x += x_at + (long)b * height * width * channels, y += y_at + out, chosen += chosen_at + out;
    const int chunks = (channels + WIDTH - 1) / WIDTH;
    for (int e = get_local_id(0); e < out_w * chunks; e += LANES) {
        const int column = e / chunks, c = e % chunks * WIDTH;
        vec most = (vec)(-INFINITY);
        ivec tap = (ivec)(0);
        FOR_COVERED(row, column)
        {
            const vec here = load(channels, c, x + ((long)h * width + w) * channels);
            tap = here > most ? (ivec)(u * kernel_w + v) : tap;
            most = here > most || isnan(here) ? here : most;
        }
        store(most, channels, c, y + column * channels);
        store_int(tap, channels, c, chosen + column * channels);
    }
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void max_pool_backward(
    WINDOW,
    __global const float *dy, const ulong dy_at,
    __global const int *chosen, const ulong chosen_at,
    __global float *dx, const ulong dx_at)
{
    const int row = get_group_id(1), b = get_group_id(2);
    const long out = (long)b * out_h * out_w * channels;
    dx += dx_at + ((long)b * height + row) * width * channels;
    dy += dy_at + out, chosen += chosen_at + out;
    const int chunks = (channels + WIDTH - 1) / WIDTH;
    for (int e = get_local_id(0); e < width * chunks; e += LANES) {
        const int w = e / chunks, c = e % chunks * WIDTH;
        vec sum = (vec)(0.0f);
        FOR_COVERING(row, w)
        {
            const long at = ((long)(i / stride_h) * out_w + j / stride_w) * channels;
            const ivec here = load_int(channels, c, chosen + at) == (ivec)(u * kernel_w + v);
            sum += load(channels, c, dy + at) * (here ? (vec)(1.0f) : (vec)(0.0f));
        }
        store(sum, channels, c, dx + (long)w * channels);
    }
}

static inline int length_on(const int start, const int size, const int limit)
{
    return min(start + size, limit) - max(start, 0);
}

// 1 / (pixels under the window at (i, j)); padding does not count.
#define SHARE(i, j)                                                                                \
    (1.0f                                                                                          \
     / (length_on((i) * stride_h - pad_h, kernel_h, height)                                        \
        * length_on((j) * stride_w - pad_w, kernel_w, width)))

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void avg_pool(
    WINDOW, __global const float *x, const ulong x_at, __global float *y, const ulong y_at)
{
    const int row = get_group_id(1), b = get_group_id(2);
    x += x_at + (long)b * height * width * channels;
    y += y_at + ((long)b * out_h + row) * out_w * channels;
    const int chunks = (channels + WIDTH - 1) / WIDTH;
    for (int e = get_local_id(0); e < out_w * chunks; e += LANES) {
        const int column = e / chunks, c = e % chunks * WIDTH;
        vec sum = (vec)(0.0f);
        FOR_COVERED(row, column) sum += load(channels, c, x + ((long)h * width + w) * channels);
        store(sum * SHARE(row, column), channels, c, y + column * channels);
    }
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void avg_pool_backward(
    WINDOW, __global const float *dy, const ulong dy_at, __global float *dx, const ulong dx_at)
{
    const int row = get_group_id(1), b = get_group_id(2);
    dx += dx_at + ((long)b * height + row) * width * channels;
    dy += dy_at + (long)b * out_h * out_w * channels;
    const int chunks = (channels + WIDTH - 1) / WIDTH;
    for (int e = get_local_id(0); e < width * chunks; e += LANES) {
        const int w = e / chunks, c = e % chunks * WIDTH;
        vec sum = (vec)(0.0f);
        FOR_COVERING(row, w)
        {
            const int y = i / stride_h, x = j / stride_w;
            sum += load(channels, c, dy + ((long)y * out_w + x) * channels) * SHARE(y, x);
        }
        store(sum, channels, c, dx + (long)w * channels);
    }
}
