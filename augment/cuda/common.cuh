// What every kernel shares: one parameter block for all of them, and the random numbers of src/random.rs.
//
// A kernel runs one thread for each of p.n places and takes all else from the block, so that a list of launches is
// plain data (src/device/mod.rs) and one runner serves every kernel, on a GPU or through shim.h on the CPU.
// Compiled with -fmad=false: with fused multiply-adds a draw would differ from the CPU's in its last bit.
#pragma once
#include "math.cuh"

struct Params {
    u8 *b[8];     // buffers: 0 the picture, 1 the result, the others as the kernel says
    u64 key;      // of the random numbers
    int n, w, h;  // threads; size of the picture
    int i[9];
    float f[12];
};

#define PLACE const int at = blockIdx.x * blockDim.x + threadIdx.x; if (at >= p.n) return;
#define F32(k) ((float *)p.b[k])
#define I32(k) ((int *)p.b[k])
#define U32(k) ((u32 *)p.b[k])

__device__ static inline u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

__device__ static inline u64 row_key(u64 key, u32 row) { return mix(key + (u64)row * 0x9e3779b97f4a7c15ull); }

__device__ static inline u32 bits(u64 row, u32 column) {
    u32 x = column * 0x9e3779b9u + (u32)row;
    x = (x ^ (x >> 17)) * 0xed5ad4bbu;
    x = (x ^ (x >> 11)) * 0xac4c1b51u ^ (u32)(row >> 32);
    x = (x ^ (x >> 15)) * 0x31848babu;
    return x ^ (x >> 14);
}

__device__ static inline float uniform(u64 row, u32 column) {
    return (float)(bits(row, column) >> 8) * (1.f / 16777216.f);
}

// Box and Muller's normal of a column.
__device__ static inline float normal(u64 row, u32 column) {
    const u32 pair = column / 2;
    const float u = (float)((bits(row, 2 * pair) >> 8) + 1) * (1.f / 16777216.f);
    float s, c;
    turn(uniform(row, 2 * pair + 1), &s, &c);
    return sqrtf(-2.f * ln(u)) * ((column & 1) ? s : c);
}

// Clipped, then cut off.
__device__ static inline u8 byte(float x) { return (u8)(x < 0.f ? 0.f : x > 255.f ? 255.f : x); }

// The square of pixels that share a draw.
__device__ static inline u32 cell(u32 place, float grain) { return grain <= 1.f ? place : (u32)((float)place / grain); }

// What stands for place i of a side of n: 0 the edge repeated, 1 mirrored with it, 2 mirrored about it.
__device__ static inline int border(int i, int n, int kind) {
    const int last = n - 1;
    if (i >= 0 && i <= last) return i;
    if (kind == 0) return i < 0 ? 0 : last;
    const int period = kind == 1 ? 2 * n : (last > 0 ? 2 * last : 1);
    const int back = kind == 1 ? 2 * n - 1 : 2 * last;
    int k = i % period;
    if (k < 0) k += period;
    return k > last ? back - k : k;
}

// Channel c of the picture at a place between pixels; outside is the grey of what lies around it.
__device__ static inline float bilinear(const Params &p, float x, float y, int c, float outside) {
    const float left = floorf(x), top = floorf(y), fx = x - left, fy = y - top;
    float v[4];
    for (int k = 0; k < 4; k++) {
        // Compared as fractions: a place far outside is no int.
        const float column = left + (float)(k % 2), line = top + (float)(k / 2);
        const bool inside = column >= 0.f && line >= 0.f && column < (float)p.w && line < (float)p.h;
        v[k] = inside ? (float)p.b[0][3 * ((int)line * p.w + (int)column) + c] : outside;
    }
    const float upper = v[0] + (v[1] - v[0]) * fx, lower = v[2] + (v[3] - v[2]) * fx;
    return upper + (lower - upper) * fy;
}
