// Colours; a thread a pixel unless said otherwise.
#include "common.cuh"

// A thread an element.
extern "C" __global__ void copy(Params p) {
    PLACE
    p.b[1][at] = p.b[0][at];
}

// b2 three sums, zeroed before; a thread 1024 pixels.
extern "C" __global__ void channel_sums(Params p) {
    PLACE
    const int end = (at + 1) * 1024 < p.w * p.h ? (at + 1) * 1024 : p.w * p.h;
    u32 sum[3] = {0, 0, 0};
    for (int i = at * 1024; i < end; i++)
        for (int c = 0; c < 3; c++) sum[c] += p.b[0][3 * i + c];
    for (int c = 0; c < 3; c++) atomicAdd((u64 *)p.b[2] + c, (u64)sum[c]);
}

// b2 the sums, b3 the table; f0 how much is kept; a thread an entry of the table.
extern "C" __global__ void contrast_table(Params p) {
    PLACE
    const double mean = (double)((u64 *)p.b[2])[at / 256] / (double)p.w / (double)p.h;
    p.b[3][at] = byte((float)((at % 256 - mean) * (double)p.f[0] + mean + 1e-4));
}

// b3 a table of 256 for each channel; a thread an element.
extern "C" __global__ void lookup(Params p) {
    PLACE
    p.b[1][at] = p.b[3][256 * (at % 3) + p.b[0][at]];
}

// f0 what is added to the value.
extern "C" __global__ void brightness(Params p) {
    PLACE
    const u8 *v = p.b[0] + 3 * at;
    const float high = max(max(v[0], v[1]), v[2]);
    const float raised = fminf(high + p.f[0], 255.f);
    const float ratio = high > 0.f ? raised / high : 0.f, grey = high > 0.f ? 0.f : raised;
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte((float)v[c] * ratio + grey + 0.001f);
}

// f0 factor, f1 addend of the saturation.
extern "C" __global__ void saturate_colour(Params p) {
    PLACE
    const u8 *v = p.b[0] + 3 * at;
    const float high = max(max(v[0], v[1]), v[2]);
    const float delta = high - (float)min(min(v[0], v[1]), v[2]);
    for (int c = 0; c < 3; c++) {
        if (delta == 0.f) {
            p.b[1][3 * at + c] = c == 0 ? v[0] : byte(high * (1.f - p.f[1]) + 0.001f);
        } else {
            const float ratio = fminf(fmaxf((delta * p.f[0] + p.f[1] * high) / delta, 0.f), high / delta);
            p.b[1][3 * at + c] = byte(high - (high - (float)v[c]) * ratio + 0.001f);
        }
    }
}
