// ImageNet-C-bar, besides spectrum.cu; a thread a pixel.
#include "common.cuh"

// f0 and f1 radians a pixel along the row and down, f2 phase, f3 greys.
extern "C" __global__ void sine_wave(Params p) {
    PLACE
    const float wave = p.f[3] * sine((float)(at % p.w) * p.f[0] + (float)(at / p.w) * p.f[1] + p.f[2]);
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte((float)p.b[0][3 * at + c] + wave);
}

// f0 and f1 middle, f2 lobes, f3 how far they wave, f4 width of a ring, f5 greys.
extern "C" __global__ void rings(Params p) {
    PLACE
    const float dx = (float)(at % p.w) - p.f[0], dy = (float)(at / p.w) - p.f[1];
    const float rings = (length(dx, dy) + sine(angle_of(dx, dy) * p.f[2]) * p.f[3]) / p.f[4];
    const float wave = p.f[5] * (rings - floorf(rings) - 0.5f);
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte((float)p.b[0][3 * at + c] + wave);
}

// f0 sine and f1 cosine of the turn, f2 side of a square, f3 share that is cut out.
extern "C" __global__ void checkerboard(Params p) {
    PLACE
    const float x = (float)(at % p.w), y = (float)(at / p.w);
    const int column = (int)floorf((p.f[1] * y + p.f[0] * x) / p.f[2]);
    const int line = (int)floorf((p.f[1] * x - p.f[0] * y) / p.f[2]);
    const bool cut = ((column + line) & 1) == 0 && uniform(row_key(p.key, (u32)column), (u32)line) < p.f[3];
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = cut ? 128 : p.b[0][3 * at + c];
}

// Gradient noise at a place of a lattice of 256 x 256.
__device__ static inline float gradient_noise(const float *gradients, float x, float y) {
    const float left = floorf(x), top = floorf(y), fx = x - left, fy = y - top;
    const float across = fx * fx * (3.f - 2.f * fx), down = fy * fy * (3.f - 2.f * fy);
    float row[2];
    for (int dy = 0; dy < 2; dy++) {
        float corner[2];
        for (int dx = 0; dx < 2; dx++) {
            const float *g = gradients + 2 * ((((int)top + dy) & 255) * 256 + (((int)left + dx) & 255));
            corner[dx] = (fx - (float)dx) * g[0] + (fy - (float)dy) * g[1];
        }
        row[dy] = corner[0] + (corner[1] - corner[0]) * across;
    }
    return 1.5f * (row[0] + (row[1] - row[0]) * down);
}

// b2 the lattice's gradients; f0 side of a cell, f1 how much is mixed in.
extern "C" __global__ void perlin(Params p) {
    PLACE
    float turbulence = 0.f;
    for (int octave = 0; octave < 5; octave++) {
        const float f = (float)(1 << octave);
        const float x = (float)(at % p.w) / p.f[0] * f, y = (float)(at / p.w) / p.f[0] * f;
        turbulence += fabsf(gradient_noise(F32(2), x, y)) / f;
    }
    const float grey = 255.f * p.f[1] * fminf(fmaxf(0.5f * turbulence + 0.5f, 0.f), 1.f);
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte((1.f - p.f[1]) * (float)p.b[0][3 * at + c] + grey);
}

// f0 time, f1 sharpness, f2 pixels for each of the plasma's own, f3 greys; i0 rounds.
extern "C" __global__ void coloured_plasma(Params p) {
    PLACE
    const float time = p.f[0];
    float x = (float)(at % p.w) / p.f[2], y = (float)(at / p.w) / p.f[2], wave = 1.f, slow = 1.f, fade = 1.f;
    for (int k = 0; k < p.i[0]; k++) {
        const float a = cosine(y * wave + time / slow) / fade, b = sine(x * wave + time / slow) / fade;
        x += a - 0.3f * b;
        y += b + 0.3f * a;
        wave *= 1.93f;
        slow *= 1.15f;
        fade *= 2.25f - p.f[1];
    }
    const float colour[3] = {sine(x - time), sine((x + y + sine(time)) * 0.5f), sine(y + time)};
    for (int c = 0; c < 3; c++)
        p.b[1][3 * at + c] = byte((1.f - p.f[3] / 255.f) * (float)p.b[0][3 * at + c] + p.f[3] * colour[c]);
}

// b2 first ray and number of rays of each star, b3 their middles, b4 lengths of all rays; f0 how fast they fall off;
// i0 stars, i1: darkness with a star cut out.
extern "C" __global__ void shine(Params p) {
    PLACE
    float v[3] = {(float)p.b[0][3 * at], (float)p.b[0][3 * at + 1], (float)p.b[0][3 * at + 2]};
    for (int star = 0; star < p.i[0]; star++) {
        const int count = I32(2)[2 * star + 1];
        const float *rays = F32(4) + I32(2)[2 * star];
        const float dx = (float)(at % p.w) - F32(3)[2 * star], dy = (float)(at / p.w) - F32(3)[2 * star + 1];
        const float place = (angle_of(dx, dy) + 3.14159265f) / 6.28318531f * (float)count;
        const float whole = floorf(place), part = place - whole;
        const float here = rays[(int)whole % count], next = rays[((int)whole + 1) % count];
        const float reach = here + part * (next - here);
        const float near = reach * reach / (dx * dx + dy * dy + 1e-4f), seen = p.f[0] == 1.f ? near : power(near, p.f[0]);
        const float light = fminf(fmaxf((1.f - (part - 0.5f) * (part - 0.5f)) * seen, 0.f), 1.f);
        for (int c = 0; c < 3; c++) v[c] = p.i[1] ? 255.f + light * (v[c] - 255.f) : v[c] + light * (255.f - v[c]);
    }
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte(v[c]);
}

// b2 target; f0 time, f1 pixels of a tile.
extern "C" __global__ void caustics(Params p) {
    PLACE
    const float a = (float)(at / p.w) / p.f[1], b = (float)(at % p.w) / p.f[1];
    const float q[2] = {(a - floorf(a)) * 6.28318531f - 250.f, (b - floorf(b)) * 6.28318531f - 250.f};
    float i[2] = {q[0], q[1]}, c = 1.f;
    for (int n = 0; n < 5; n++) {
        const float t = p.f[0] * (1.f - 3.5f / (float)(n + 1));
        const float first = q[0] + cosine(t - i[0]) + sine(t + i[1]), second = q[1] + sine(t - i[1]) + cosine(t + i[0]);
        i[0] = first;
        i[1] = second;
        c += 1.f / length(q[0] * 0.005f / sine(i[0] + t), q[1] * 0.005f / cosine(i[1] + t));
    }
    const float dark = 1.17f - power(c / 5.f, 1.4f), square = dark * dark, fourth = square * square;
    F32(2)[at] = fminf(fmaxf(fourth * fourth, 0.f), 1.f);
}

__device__ static inline float ripple(const Params &p, int x, int y) {
    return x >= 0 && y >= 0 && x < p.w && y < p.h ? F32(2)[y * p.w + x] : 0.f;
}

// b2 the ripples; f0 how far they bend, f1 by how many greys they light, f2 refractive index.
extern "C" __global__ void refract(Params p) {
    PLACE
    const int x = at % p.w, y = at / p.w;
    const float down = ripple(p, x, y + 1) - ripple(p, x, y - 1), right = ripple(p, x + 1, y) - ripple(p, x - 1, y);
    const float upright = 1.f / sqrtf(down * down + right * right + 1.f);
    float dx = 0.f, dy = 0.f;
    if (upright < 1.f - 1e-3f) {
        const float across = sqrtf(1.f - upright * upright) / p.f[2], along = sqrtf(1.f - across * across);
        const float flat = fmaxf(length(down * upright, right * upright), 1e-9f);
        const float reach = p.f[0] * (along * flat - across * upright);
        dy = reach * (down * upright) / flat;
        dx = reach * (right * upright) / flat;
    }
    const float lit = p.f[1] * (down - right);
    for (int c = 0; c < 3; c++)
        p.b[1][3 * at + c] = byte(bilinear(p, (float)x + dx, (float)y + dy, c, 0.f) + lit);
}
