// embedding: sums of table rows by index, and the gradient scattered back.
//
// Shapes   index (bags, each) int32, negative ones skipped; table, dtable (v, n), y, dy (bags, n)
//          float32. An index past the table makes its bag NaN: a kernel cannot raise.
// Launch   embedding_bag: global (LANES, bags), local (LANES, 1), a group owns a bag.
//          scatter: global (ceil(n / WIDTH),), local (1,): an item owns WIDTH columns of the table
//          and walks all bags, so equal indices meet in one item and need no atomics.
//          clear: global (LANES, bags), local (LANES, 1): rows of dtable named by index become 0.
// Mirror   engine/numpy_backend/sparse.py: embedding_bag, embedding_bag_backward.
// Bound    memory: 4 bytes a number of the rows summed.
// Tuning   WIDTH, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void embedding_bag(
    const int each,
    const int v,
    const int n,
    __global const int *index, const ulong index_at,
    __global const float *table, const ulong table_at,
    __global float *y, const ulong y_at)
{
    const int bag = get_group_id(1);
    index += index_at + (long)bag * each;
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH) {
        vec sum = (vec)(0.0f);
        for (int i = 0; i < each; ++i) {
            const int row = index[i];
            if (row >= v) sum += NAN;
            else if (row >= 0) sum += load(n, at, table + table_at + (long)row * n);
        }
        store(sum, n, at, y + y_at + (long)bag * n);
    }
}

__kernel void scatter(
    const int bags,
    const int each,
    const int v,
    const int n,
    __global const int *index, const ulong index_at,
    __global const float *dy, const ulong dy_at,
    __global float *dtable, const ulong dtable_at)
{
    const int at = get_global_id(0) * WIDTH;
    if (at >= n) return;
    index += index_at, dtable += dtable_at;
    for (int bag = 0; bag < bags; ++bag) {
        const vec d = load(n, at, dy + dy_at + (long)bag * n);
        for (int i = 0; i < each; ++i) {
            const int row = index[(long)bag * each + i];
            if (row < 0 || row >= v) continue;
            store(load(n, at, dtable + (long)row * n) + d, n, at, dtable + (long)row * n);
        }
    }
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void clear(
    const int each,
    const int v,
    const int n,
    __global const int *index, const ulong index_at,
    __global float *dtable, const ulong dtable_at)
{
    index += index_at + (long)get_group_id(1) * each;
    for (int i = 0; i < each; ++i) {
        const int row = index[i];
        if (row < 0 || row >= v) continue;
        for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH)
            store((vec)(0.0f), n, at, dtable + dtable_at + (long)row * n);
    }
}
