// dueling: action values from a state value and advantages, and the way back; a row per item.
//
// Shapes   z, dz (rows, 1 + A), q, dq (rows, A) float32; mask (rows, A) uint8, 1 = legal, read only
//          if masked is 1; starts (branches + 1,) int32, the first column of each branch, then A.
// Launch   global (round_up(rows, local),), any local. Items past the rows do nothing.
// Mirror   engine/numpy_backend/heads.py: dueling, dueling_backward.
// Bound    memory: 16 bytes a number of q.

__kernel void dueling(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *z, const ulong z_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    __global float *q, const ulong q_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    z += z_at + (long)row * (width + 1), q += q_at + (long)row * width;
    mask += masked ? mask_at + (long)row * width : 0;
    for (int i = 0; i < branches; ++i) {
        float legal = 0.0f, sum = 0.0f;
        for (int a = starts[i]; a < starts[i + 1]; ++a) {
            const float on = masked ? (float)mask[a] : 1.0f;
            legal += on;
            sum += z[1 + a] * on;  // an illegal NaN stays one, as on the host
        }
        const float mean = sum / (legal < 1.0f ? 1.0f : legal);
        for (int a = starts[i]; a < starts[i + 1]; ++a) q[a] = z[1 + a] - mean + z[0];
    }
}

__kernel void dueling_backward(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *dq, const ulong dq_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    __global float *dz, const ulong dz_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    dz += dz_at + (long)row * (width + 1), dq += dq_at + (long)row * width;
    mask += masked ? mask_at + (long)row * width : 0;
    float value = 0.0f;
    for (int i = 0; i < branches; ++i) {
        float legal = 0.0f, sum = 0.0f;
        for (int a = starts[i]; a < starts[i + 1]; ++a) {
            legal += masked ? (float)mask[a] : 1.0f;
            sum += dq[a];
        }
        const float each = sum / (legal < 1.0f ? 1.0f : legal);
        for (int a = starts[i]; a < starts[i + 1]; ++a)
            dz[1 + a] = dq[a] - each * (masked ? (float)mask[a] : 1.0f);
        value += sum;
    }
    dz[0] = value;
}
