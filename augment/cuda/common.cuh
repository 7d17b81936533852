// What every kernel shares: one parameter block for all of them, and the random numbers of src/random.rs.
//
// A kernel runs one thread for each of p.n places and takes all else from the block, so that a list of launches is
// plain data (src/device/mod.rs) and one runner serves every kernel, on a GPU or through shim.h on the CPU.
// Compiled with -fmad=false: with fused multiply-adds a draw would differ from the CPU's in its last bit.
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

struct Params {
    u8 *b[8];     // buffers: 0 the picture, 1 the result, the others as the kernel says
    u64 key;      // of the random numbers
    int n, w, h;  // threads; size of the picture
    int i[9];
    float f[8];
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

__device__ static inline float as_float(u32 x) { union { u32 u; float f; } v; v.u = x; return v.f; }
__device__ static inline u32 as_bits(float x) { union { u32 u; float f; } v; v.f = x; return v.u; }

__device__ static inline float ln(float x) {
    const u32 b = as_bits(x) - 0x3f3504f3u;
    const float e = (float)((int)b >> 23);
    const float m = as_float((b & 0x007fffffu) + 0x3f3504f3u) - 1.f;
    const float c[8] = {-1.15146103e-1f, 1.16769987e-1f, -1.24201408e-1f, 1.42493228e-1f,
                        -1.66680577e-1f, 2.00007148e-1f, -2.4999994e-1f, 3.3333331e-1f};
    float p = 7.0376836e-2f;
    for (int i = 0; i < 8; i++) p = p * m + c[i];
    const float z = m * m;
    return m + (m * z * p - 0.5f * z) + e * 0.69314718f;
}

// Box and Muller's normal of a column.
__device__ static inline float normal(u64 row, u32 column) {
    const u32 pair = column / 2;
    const float u = (float)((bits(row, 2 * pair) >> 8) + 1) * (1.f / 16777216.f);
    const float t = uniform(row, 2 * pair + 1);
    const int q = (int)(t * 4.f + 0.5f);
    const float r = (t * 4.f - (float)q) * 1.57079633f, z = r * r;
    float s = r + r * z * (-1.6666655e-1f + z * (8.332161e-3f - z * 1.9515296e-4f));
    float c = 1.f - 0.5f * z + z * z * (4.1666646e-2f + z * (-1.3887316e-3f + z * 2.4433157e-5f));
    if (q & 1) { const float swap = s; s = c; c = swap; }
    const float length = sqrtf(-2.f * ln(u));
    return (column & 1) ? length * ((q & 2) ? -s : s) : length * (((q + 1) & 2) ? -c : c);
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
