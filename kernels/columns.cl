// columns: a convolution's input unfolded into a matrix, and the sum back: im2col, col2im.
//
// Shapes   x (B, H, W, C), columns (B, OH, OW, KH, KW, C) float32.
// Launch   local (LANES, 1, 1); im2col: global (LANES, OH, B), a group unfolds a row of positions;
//          col2im: global (LANES, H, B), a group gathers a row of pixels, so nothing is added twice
//          at once.
// Mirror   engine/numpy_backend/images.py: im2col, col2im.
// Bound    memory: 4 bytes a number of columns, x in cache.
// Tuning   WIDTH, LANES.
#include "vector.clh"
#include "window.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void im2col(
    WINDOW, __global const float *x, const ulong x_at, __global float *columns, const ulong columns_at)
{
    const int i = get_group_id(1), b = get_group_id(2), run = kernel_w * channels;
    x += x_at + (long)b * height * width * channels;
    columns += columns_at + ((long)b * out_h + i) * out_w * kernel_h * run;
#if LANES > 1
    for (int e = get_local_id(0); e < out_w * kernel_h * run; e += LANES) {
        const int t = e % run, u = e / run % kernel_h, j = e / run / kernel_h;
        const int h = i * stride_h - pad_h + u, w = j * stride_w - pad_w + t / channels;
        const bool in = h >= 0 && h < height && w >= 0 && w < width;
        columns[e] = in ? x[((long)h * width + w) * channels + t % channels] : 0.0f;
    }
#else
    for (int j = 0; j < out_w; ++j) {
        const int w = j * stride_w - pad_w;  // the kernel's row lies on numbers [from, to) of x's
        const int from = clamp(-w, 0, kernel_w) * channels;
        const int to = max(clamp(width - w, 0, kernel_w) * channels, from);
        for (int u = 0; u < kernel_h; ++u, columns += run) {
            const int h = i * stride_h - pad_h + u;
            const bool in = h >= 0 && h < height;
            __global const float *row = x + ((long)h * width + w) * channels;
            const int first = in ? from : run, last = in ? to : run;
            for (int t = 0; t < first; ++t) columns[t] = 0.0f;
            for (int t = first; t < last; ++t) columns[t] = row[t];
            for (int t = last; t < run; ++t) columns[t] = 0.0f;
        }
    }
#endif
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void col2im(
    WINDOW, __global const float *columns, const ulong columns_at, __global float *x, const ulong x_at)
{
    const int row = get_group_id(1), b = get_group_id(2);
    const int taps = kernel_h * kernel_w * channels;
    x += x_at + ((long)b * height + row) * width * channels;
    columns += columns_at + (long)b * out_h * out_w * taps;
    const int chunks = (channels + WIDTH - 1) / WIDTH;
    for (int e = get_local_id(0); e < width * chunks; e += LANES) {
        const int w = e / chunks, c = e % chunks * WIDTH;
        vec sum = (vec)(0.0f);
        FOR_COVERING(row, w)
        {
            const long at = ((long)(i / stride_h) * out_w + j / stride_w) * taps;
            sum += load(channels, c, columns + at + (u * kernel_w + v) * channels);
        }
        store(sum, channels, c, x + (long)w * channels);
    }
}
