/* Layers of an exported policy. The writer takes the sections that a network needs; PREFIX is
   replaced by its name, WEIGHT by float or signed char. */
/* == rows == */
static inline void PREFIX_rows(const float *x, int n, int width, const WEIGHT *w, float *y)
{
    int i, j;
    for (i = 0; i < n; i++) {
        const float v = x[i];
        const WEIGHT *row = w + (size_t)i * (size_t)width;
        if (v == 0.0f)
            continue;
        for (j = 0; j < width; j++)
            y[j] += v * (float)row[j];
    }
}

static inline void PREFIX_finish(int width, const float *scale, const float *b, float *y)
{
    int j;
    if (scale)
        for (j = 0; j < width; j++)
            y[j] *= scale[j];
    if (b)
        for (j = 0; j < width; j++)
            y[j] += b[j];
}
/* == dense == */
static inline void PREFIX_dense(const float *x, int n_in, int n_out, const WEIGHT *w,
                                const float *scale, const float *b, float *y)
{
    memset(y, 0, (size_t)n_out * sizeof *y);
    PREFIX_rows(x, n_in, n_out, w, y);
    PREFIX_finish(n_out, scale, b, y);
}
/* == lookup == */
static inline void PREFIX_lookup(const float *x, int n_in, int n_out, const WEIGHT *w,
                                 const float *scale, const float *b, float *y)
{
    const float one = 1.0f;
    int i;
    memset(y, 0, (size_t)n_out * sizeof *y);
    for (i = 0; i < n_in; i++)
        if (x[i] >= 0.0f)
            PREFIX_rows(&one, 1, n_out, w + (size_t)x[i] * (size_t)n_out, y);
    PREFIX_finish(n_out, scale, b, y);
}
/* == window == */
typedef struct {
    int height, width, depth, kernel[2], stride[2], padding[2], out_height, out_width;
} PREFIX_window;
/* == conv == */
static inline void PREFIX_conv(const float *x, const PREFIX_window *g, int channels,
                               const WEIGHT *w, const float *scale, const float *b, float *y)
{
    int i, j, u, v;
    memset(y, 0, (size_t)g->out_height * (size_t)g->out_width * (size_t)channels * sizeof *y);
    for (i = 0; i < g->out_height; i++)
        for (j = 0; j < g->out_width; j++, y += channels) {
            for (u = 0; u < g->kernel[0]; u++)
                for (v = 0; v < g->kernel[1]; v++) {
                    const int at = i * g->stride[0] - g->padding[0] + u;
                    const int across = j * g->stride[1] - g->padding[1] + v;
                    const int tap = u * g->kernel[1] + v;
                    if (at < 0 || across < 0 || at >= g->height || across >= g->width)
                        continue;
                    PREFIX_rows(x + ((size_t)at * (size_t)g->width + (size_t)across) * (size_t)g->depth,
                                g->depth, channels,
                                w + (size_t)tap * (size_t)g->depth * (size_t)channels, y);
                }
            PREFIX_finish(channels, scale, b, y);
        }
}
/* == pool == */
static inline void PREFIX_pool(const float *x, const PREFIX_window *g, int largest, float *y)
{
    int i, j, u, v, c;
    for (i = 0; i < g->out_height; i++)
        for (j = 0; j < g->out_width; j++, y += g->depth) {
            int seen = 0;
            for (c = 0; c < g->depth; c++)
                y[c] = 0.0f;
            for (u = 0; u < g->kernel[0]; u++)
                for (v = 0; v < g->kernel[1]; v++) {
                    const int at = i * g->stride[0] - g->padding[0] + u;
                    const int across = j * g->stride[1] - g->padding[1] + v;
                    const float *p;
                    if (at < 0 || across < 0 || at >= g->height || across >= g->width)
                        continue;
                    p = x + ((size_t)at * (size_t)g->width + (size_t)across) * (size_t)g->depth;
                    for (c = 0; c < g->depth; c++)
                        if (!largest)
                            y[c] += p[c];
                        else if (seen == 0 || p[c] > y[c])
                            y[c] = p[c];
                    seen++;
                }
            if (!largest && seen > 0)
                for (c = 0; c < g->depth; c++)
                    y[c] /= (float)seen;
        }
}
/* == relu == */
static inline void PREFIX_relu(float *x, int n, float slope)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}
/* == sigmoid == */
static inline void PREFIX_sigmoid(float *x, int n, float slope)
{
    int i;
    (void)slope;
    for (i = 0; i < n; i++)
        x[i] = 0.5f + 0.5f * tanhf(0.5f * x[i]);
}
/* == tanh == */
static inline void PREFIX_tanh(float *x, int n, float slope)
{
    int i;
    (void)slope;
    for (i = 0; i < n; i++)
        x[i] = tanhf(x[i]);
}
/* == softplus == */
static inline void PREFIX_softplus(float *x, int n, float slope)
{
    int i;
    (void)slope;
    for (i = 0; i < n; i++)
        x[i] = (x[i] > 0.0f ? x[i] : 0.0f) + log1pf(expf(-fabsf(x[i])));
}
/* == gelu == */
static inline void PREFIX_gelu(float *x, int n, float slope)
{
    int i;
    (void)slope;
    for (i = 0; i < n; i++) {
        const float v = x[i];
        x[i] = 0.5f * v * (1.0f + tanhf(0.7978845608028654f * (v + 0.044715f * v * v * v)));
    }
}
/* == exp == */
static inline void PREFIX_exp(float *x, int n, float slope)
{
    int i;
    (void)slope;
    for (i = 0; i < n; i++)
        x[i] = expf(x[i] < -10.0f ? -10.0f : x[i] > 10.0f ? 10.0f : x[i]);
}
/* == rescale == */
static inline void PREFIX_rescale(float *x, int size, int n, const float *shift, const float *scale,
                                  const float *bias, float limit)
{
    int i;
    for (i = 0; i < size; i++) {
        float v = (x[i] - shift[i % n]) * scale[i % n] + bias[i % n];
        if (limit >= 0.0f)
            v = v < -limit ? -limit : v > limit ? limit : v;
        x[i] = v;
    }
}
/* == norm == */
static inline void PREFIX_norm(float *x, int size, int n, const float *gain, const float *bias,
                               float eps)
{
    int at, i;
    for (at = 0; at < size; at += n, x += n) {
        float mean = 0.0f, variance = 0.0f, scale;
        for (i = 0; i < n; i++)
            mean += x[i];
        mean /= (float)n;
        for (i = 0; i < n; i++)
            variance += (x[i] - mean) * (x[i] - mean);
        scale = 1.0f / sqrtf(variance / (float)n + eps);
        for (i = 0; i < n; i++)
            x[i] = (x[i] - mean) * scale * gain[i] + bias[i];
    }
}
/* == merge == */
static inline void PREFIX_merge(const float *x, int atoms, const int *branches, int n, float *y)
{
    int z, b, i;
    for (z = 0; z < atoms; z++) {
        const float value = *x++;
        for (b = 0; b < n; b++) {
            float mean = 0.0f;
            for (i = 0; i < branches[b]; i++)
                mean += x[i];
            mean /= (float)branches[b];
            for (i = 0; i < branches[b]; i++)
                *y++ = x[i] - mean + value;
            x += branches[b];
        }
    }
}
/* == mean == */
static inline void PREFIX_mean(const float *x, int atoms, int actions, float *y)
{
    int z, a;
    for (a = 0; a < actions; a++) {
        y[a] = 0.0f;
        for (z = 0; z < atoms; z++)
            y[a] += x[z * actions + a];
        y[a] /= (float)atoms;
    }
}
/* == expect == */
static inline void PREFIX_expect(const float *x, int atoms, int actions, const float *returns,
                                 float *y)
{
    int z, a;
    for (a = 0; a < actions; a++) {
        float most = x[a], total = 0.0f, sum = 0.0f;
        for (z = 1; z < atoms; z++)
            if (x[z * actions + a] > most)
                most = x[z * actions + a];
        for (z = 0; z < atoms; z++) {
            const float share = expf(x[z * actions + a] - most);
            total += share;
            sum += share * returns[z];
        }
        y[a] = sum / total;
    }
}
/* == plus == */
static inline void PREFIX_plus(float *x, int n, const float *other)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] += other[i];
}
