// Runs lists of launches (tests/device.rs writes them) on the CPU and writes the results back.
//
// From standard input, little-endian: buffers (u32 count; each u64 length and bytes), launches (u32 count; each u32 length
// of the name, the name, i32 buffers[8] with -1 for none, u64 key, i32 n, w, h, i32 i[9], f32 f[12]); to standard
// output the bytes of buffer 1. Again until the input ends.
#include "shim.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "noise.cu"
#include "colour.cu"
#include "blur.cu"
#include "geometry.cu"
#include "weather.cu"
#include "scan.cu"
#include "spatter.cu"
#include "cbar.cu"
#include "spectrum.cu"

#define KERNEL(name) {#name, name}
static const struct { const char *name; void (*run)(Params); } KERNELS[] = {
    KERNEL(normal_noise), KERNEL(impulse_noise), KERNEL(shot_noise), KERNEL(block_mask), KERNEL(copy),
    KERNEL(channel_sums), KERNEL(contrast_table), KERNEL(lookup), KERNEL(brightness), KERNEL(saturate_colour),
    KERNEL(filter_axis), KERNEL(disk_sums), KERNEL(streak), KERNEL(zoom), KERNEL(shuffle), KERNEL(uniform_field),
    KERNEL(warp), KERNEL(affine), KERNEL(box_resize), KERNEL(nearest), KERNEL(jpeg_luma), KERNEL(jpeg_chroma),
    KERNEL(jpeg_code), KERNEL(jpeg_rgb), KERNEL(plasma_middle), KERNEL(plasma_finer), KERNEL(extremes), KERNEL(fog),
    KERNEL(snow_field), KERNEL(snow), KERNEL(frost), KERNEL(enlarge), KERNEL(normal_field), KERNEL(document),
    KERNEL(above), KERNEL(as_bytes), KERNEL(slope), KERNEL(crest), KERNEL(join), KERNEL(mark), KERNEL(distance_start),
    KERNEL(distance_step), KERNEL(distance_end), KERNEL(count_greys), KERNEL(equal_table), KERNEL(emboss),
    KERNEL(wetness), KERNEL(water), KERNEL(mud), KERNEL(sine_wave), KERNEL(rings), KERNEL(checkerboard),
    KERNEL(perlin), KERNEL(coloured_plasma), KERNEL(shine), KERNEL(caustics), KERNEL(refract), KERNEL(spectrum),
    KERNEL(bit_reverse), KERNEL(butterflies), KERNEL(transpose), KERNEL(row_moments), KERNEL(whole_moment),
    KERNEL(standard), KERNEL(blue_sample), KERNEL(brownish),
};

static void take(void *to, size_t n) {
    if (fread(to, 1, n, stdin) != n) { fprintf(stderr, "the input ends early\n"); exit(1); }
}
template <class T> static T take() { T v; take(&v, sizeof v); return v; }

static void launch(std::vector<std::vector<unsigned char>> &buffers) {
    std::string name(take<uint32_t>(), ' ');
    take(&name[0], name.size());
    Params p;
    for (int k = 0; k < 8; k++) {
        const int32_t b = take<int32_t>();
        p.b[k] = b < 0 ? nullptr : buffers.at(b).data();
    }
    p.key = take<uint64_t>();
    p.n = take<int32_t>(); p.w = take<int32_t>(); p.h = take<int32_t>();
    take(p.i, sizeof p.i);
    take(p.f, sizeof p.f);
    for (const auto &kernel : KERNELS) {
        if (name != kernel.name) continue;
        for (int at = 0; at < p.n; at++) { blockIdx.x = at; kernel.run(p); }
        return;
    }
    fprintf(stderr, "no kernel is named %s\n", name.c_str());
    exit(1);
}

int main() {
    for (uint32_t count; fread(&count, 1, 4, stdin) == 4;) {
        std::vector<std::vector<unsigned char>> buffers(count);
        for (auto &buffer : buffers) {
            buffer.resize(take<uint64_t>());
            take(buffer.data(), buffer.size());
        }
        for (uint32_t n = take<uint32_t>(); n > 0; n--) launch(buffers);
        fwrite(buffers.at(1).data(), 1, buffers.at(1).size(), stdout);
        fflush(stdout);
    }
}
