// src/math.rs in C: the same operations in the same order, so that both give the same bits (compiled with -fmad=false).
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

__device__ static inline float as_float(u32 x) { union { u32 u; float f; } v; v.u = x; return v.f; }
__device__ static inline u32 as_bits(float x) { union { u32 u; float f; } v; v.f = x; return v.u; }

#define LEAST 1.17549435e-38f

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

__device__ static inline void turn(float t, float *sine, float *cosine) {
    const int q = (int)(t * 4.f + 0.5f);
    const float r = (t * 4.f - (float)q) * 1.57079633f, z = r * r;
    float s = r + r * z * (-1.6666655e-1f + z * (8.332161e-3f - z * 1.9515296e-4f));
    float c = 1.f - 0.5f * z + z * z * (4.1666646e-2f + z * (-1.3887316e-3f + z * 2.4433157e-5f));
    if (q & 1) { const float swap = s; s = c; c = swap; }
    *sine = (q & 2) ? -s : s;
    *cosine = ((q + 1) & 2) ? -c : c;
}

__device__ static inline float sine(float angle) {
    const float t = angle * (1.f / 6.28318531f);
    float s, c;
    turn(t - floorf(t), &s, &c);
    return s;
}

__device__ static inline float cosine(float angle) {
    const float t = angle * (1.f / 6.28318531f);
    float s, c;
    turn(t - floorf(t), &s, &c);
    return c;
}

__device__ static inline float angle_of(float y, float x) {
    const float wide = fabsf(x), high = fabsf(y);
    const float a = fminf(wide, high) / fmaxf(fmaxf(wide, high), LEAST), s = a * a;
    const float c[5] = {5.265332e-2f, -1.1643287e-1f, 1.9354346e-1f, -3.3262347e-1f, 9.9997726e-1f};
    float p = -1.17212e-2f;
    for (int i = 0; i < 5; i++) p = p * s + c[i];
    float r = high > wide ? 1.57079633f - p * a : p * a;
    r = x < 0.f ? 3.14159265f - r : r;
    return y < 0.f ? -r : r;
}

__device__ static inline float two_to(float x) {
    x = fminf(fmaxf(x, -126.f), 126.f);
    const float whole = floorf(x + 0.5f), f = x - whole;
    const float c[6] = {1.3333558e-3f, 9.618129e-3f, 5.550411e-2f, 2.4022651e-1f, 6.931472e-1f, 1.f};
    float p = 1.540353e-4f;
    for (int i = 0; i < 6; i++) p = p * f + c[i];
    return as_float((u32)(((int)whole + 127) << 23)) * p;
}

__device__ static inline float power(float x, float p) {
    return x < LEAST ? 0.f : two_to(p * (ln(x) * 1.44269504f));
}

__device__ static inline float length(float x, float y) { return sqrtf(x * x + y * y); }
