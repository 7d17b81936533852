// Rain or mud on the lens; a thread a pixel unless said otherwise.
#include "common.cuh"

// b2 source, b3 target; f0: one above it, zero below.
extern "C" __global__ void above(Params p) {
    PLACE
    F32(3)[at] = F32(2)[at] > p.f[0] ? 1.f : 0.f;
}

// b2 source, b3 bytes; f0 below it nothing, f1 factor.
extern "C" __global__ void as_bytes(Params p) {
    PLACE
    p.b[3][at] = F32(2)[at] < p.f[0] ? 0 : byte(F32(2)[at] * p.f[1]);
}

// b2 a plane of bytes, b3 its derivative to the right and down.
extern "C" __global__ void slope(Params p) {
    PLACE
    int v[3][3];
    for (int k = 0; k < 9; k++)
        v[k / 3][k % 3] = p.b[2][border(at / p.w + k / 3 - 1, p.h, 0) * p.w + border(at % p.w + k % 3 - 1, p.w, 0)];
    I32(3)[2 * at] = v[0][2] - v[0][0] + 2 * (v[1][2] - v[1][0]) + v[2][2] - v[2][0];
    I32(3)[2 * at + 1] = v[2][0] + 2 * v[2][1] + v[2][2] - v[0][0] - 2 * v[0][1] - v[0][2];
}

__device__ static inline int steep(const Params &p, int x, int y) {
    if (x < 0 || y < 0 || x >= p.w || y >= p.h) return 0;
    const int *d = I32(2) + 2 * (y * p.w + x);
    return abs(d[0]) + abs(d[1]);
}

// b2 derivatives, b3 0 for no edge, 1 for a weak and 2 for a strong one, b4 each pixel's own place, b5 zero; i0 and i1 how
// steep a weak and a strong edge is.
extern "C" __global__ void crest(Params p) {
    PLACE
    const int x = at % p.w, y = at / p.w, here = steep(p, x, y);
    const int dx = I32(2)[2 * at], dy = I32(2)[2 * at + 1];
    const long long wide = abs(dx), high = (long long)abs(dy) << 15, flat = wide * 13573;
    const int side = (dx ^ dy) < 0 ? -1 : 1;
    bool top;
    if (high < flat) top = here > steep(p, x - 1, y) && here >= steep(p, x + 1, y);
    else if (high > flat + (wide << 16)) top = here > steep(p, x, y - 1) && here >= steep(p, x, y + 1);
    else top = here > steep(p, x - side, y - 1) && here > steep(p, x + side, y + 1);
    p.b[3][at] = here > p.i[0] && top ? (here > p.i[1] ? 2 : 1) : 0;
    I32(4)[at] = at;
    I32(5)[at] = 0;
}

// The place that stands for all that hang together with one. Others may be joining: whatever is read leads there.
__device__ static inline int root(volatile int *parent, int i) {
    while (parent[i] != i) i = parent[i];
    return i;
}

// b2 edges, b3 parents: joins each with its neighbours before it.
extern "C" __global__ void join(Params p) {
    PLACE
    if (!p.b[2][at]) return;
    const int x = at % p.w, y = at / p.w, right[4] = {-1, -1, 0, 1}, down[4] = {0, -1, -1, -1};
    for (int k = 0; k < 4; k++) {
        const int nx = x + right[k], ny = y + down[k];
        if (nx < 0 || ny < 0 || nx >= p.w || !p.b[2][ny * p.w + nx]) continue;
        int a = at, b = ny * p.w + nx;
        for (;;) {
            a = root(I32(3), a);
            b = root(I32(3), b);
            if (a == b) break;
            if (a < b) { const int swap = a; a = b; b = swap; }
            const int found = atomicMin(I32(3) + a, b);
            if (found == a) break;
            a = found;
        }
    }
}

// b2 edges, b3 parents, b4 one where a strong edge hangs together with the place.
extern "C" __global__ void mark(Params p) {
    PLACE
    if (p.b[2][at] == 2) I32(4)[root(I32(3), at)] = 1;
}

// b2 edges, b3 parents, b4 marks, b5 zero on an edge that counts, else i0.
extern "C" __global__ void distance_start(Params p) {
    PLACE
    I32(5)[at] = p.b[2][at] && I32(4)[root(I32(3), at)] ? 0 : p.i[0];
}

// b2 distances, b3 those a step further; i0, i1, i2 a step straight, diagonal, as a knight's.
extern "C" __global__ void distance_step(Params p) {
    PLACE
    const int x = at % p.w, y = at / p.w;
    int nearest = I32(2)[at];
    for (int dy = -2; dy <= 2; dy++)
        for (int dx = -2; dx <= 2; dx++) {
            const int sum = abs(dx) + abs(dy);
            const bool step = sum == 1 || (abs(dx) == 1 && abs(dy) == 1) || sum == 3;
            if (!step || x + dx < 0 || y + dy < 0 || x + dx >= p.w || y + dy >= p.h) continue;
            nearest = min(nearest, I32(2)[at + dy * p.w + dx] + p.i[sum - 1]);
        }
    I32(3)[at] = nearest;
}

// b2 distances, b3 the same as fractions.
extern "C" __global__ void distance_end(Params p) {
    PLACE
    F32(3)[at] = (float)I32(2)[at] / 65536.f;
}

// b2 bytes, b3 how often each is there.
extern "C" __global__ void count_greys(Params p) {
    PLACE
    atomicAdd(U32(3) + p.b[2][at], 1u);
}

// b2 counts, b3 the table that makes them even; a thread a grey.
extern "C" __global__ void equal_table(Params p) {
    PLACE
    int first = 0;
    while (first < 255 && U32(2)[first] == 0) first++;
    const u32 rest = (u32)(p.w * p.h) - U32(2)[first];
    u32 sum = 0;
    for (int level = first + 1; level <= at; level++) sum += U32(2)[level];
    const float scale = 255.f / (float)rest;
    p.b[3][at] = rest == 0 ? at : at <= first ? 0 : (u8)rintf((float)sum * scale);
}

// b2 bytes, b3 a table for them, b4 their relief, light from the lower right.
extern "C" __global__ void emboss(Params p) {
    PLACE
    const int weight[9] = {-2, -1, 0, -1, 1, 1, 0, 1, 2};
    int sum = 0;
    for (int k = 0; k < 9; k++) {
        const int y = border(at / p.w + k / 3 - 1, p.h, 2), x = border(at % p.w + k % 3 - 1, p.w, 2);
        sum += weight[k] * (int)p.b[3][p.b[2][y * p.w + x]];
    }
    F32(4)[at] = (float)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

// b2 drops, b3 relief, b4 how wet it is, b5 the most (zero before; not negative, so its bits are in order).
extern "C" __global__ void wetness(Params p) {
    PLACE
    const float wet = (float)p.b[2][at] * rintf(F32(3)[at]);
    F32(4)[at] = wet;
    atomicMax(I32(5), (int)as_bits(wet));
}

// b2 how wet it is, b3 the most; f0 to f2 the water's colour, f3 strength.
extern "C" __global__ void water(Params p) {
    PLACE
    const float most = as_float(U32(3)[0]), m = F32(2)[at] * (most > 0.f ? p.f[3] / most : 0.f);
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte((float)p.b[0][3 * at + c] + m * p.f[c] + 0.001f);
}

// b2 how much mud there is; f0 to f2 its colour.
extern "C" __global__ void mud(Params p) {
    PLACE
    const float m = F32(2)[at] < 0.8f ? 0.f : F32(2)[at];
    for (int c = 0; c < 3; c++)
        p.b[1][3 * at + c] = byte((float)p.b[0][3 * at + c] * (1.f - m) + m * p.f[c] + 0.001f);
}
