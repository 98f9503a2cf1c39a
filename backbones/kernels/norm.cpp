// y = act(g (x - mean) / std + o) of planes in channels-last order, and its derivative; see norm.py.
//
// x is (N, P, C): N samples, P places, C channels, W of them at a time. g and o are (N, C); mean and 1 / std are those of
// each of G groups of channels of each sample. Sums run over a few places in float, and over all in double.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

constexpr int W = 16;    // channels that one vector holds
constexpr int ROWS = 32; // places that are summed in float
typedef float Floats __attribute__((vector_size(4 * W)));
typedef int32_t Ints __attribute__((vector_size(4 * W)));
typedef uint16_t Halves __attribute__((vector_size(2 * W)));
typedef uint32_t Words __attribute__((vector_size(4 * W)));
typedef double Doubles __attribute__((vector_size(8 * W)));

template <class V, class T> V read(const T *p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
inline Floats load(const float *p) { return read<Floats>(p); }
inline Floats load(const uint16_t *p) { // bf16 is the upper half of a float
    return (Floats)(__builtin_convertvector(read<Halves>(p), Words) << 16);
}
inline void store(float *p, Floats v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store(uint16_t *p, Floats v) { // rounds to nearest, ties to even; NaN stays NaN
    Words w = (Words)v;
    Words rounded = (w + 0x7fff + ((w >> 16) & 1)) >> 16;
    Words nan = (Words)(v != v);
    Halves h = __builtin_convertvector((rounded & ~nan) | (0x7fc0 & nan), Halves);
    __builtin_memcpy(p, &h, sizeof h);
}

inline Floats exponential(Floats x) { // 2^n by the exponent's bits, e^r with |r| <= ln(2) / 2 by Taylor: 1e-7
    Floats low = x * 0 - 87, high = x * 0 + 88;
    Floats bounded = x < low ? low : (x > high ? high : x);
    Floats n = bounded * 1.44269504f + 12582912.f;  // adding 1.5 2^23 rounds to whole numbers
    Ints power = (Ints)n << 23;
    n -= 12582912.f;
    Floats r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    Floats e = 1 + r * (1 + r * (0.5f + r * (1.6666667e-1f + r * (4.1666668e-2f + r * (8.3333338e-3f + r * 1.3888889e-3f)))));
    return (Floats)((Ints)e + power) + (x - x); // NaN stays NaN
}

struct Shape {
    int64_t samples, places, channels, groups;
    int silu;
};

// Call f(first, last) on ranges of places, in several threads where one sample is all there is to do.
template <class F> void ranges(int64_t places, int threads, F f) {
    if (threads == 1)
        return f(0, 0, places); // not even a region of one thread, which would stand inside another
    int64_t blocks = (places + ROWS - 1) / ROWS;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++)
        f(t, blocks * t / threads * ROWS, std::min(places, blocks * (t + 1) / threads * ROWS));
}

// Sum two terms of each channel over all places: f(place's address offset, channel, &a, &b) adds them up.
template <class F> void sums(const Shape &s, int threads, std::vector<double> &a, std::vector<double> &b, F f) {
    int64_t C = s.channels;
    std::vector<double> parts(2 * threads * C, 0.0);
    ranges(s.places, threads, [&](int t, int64_t first, int64_t last) {
        double *pa = &parts[2 * t * C], *pb = pa + C;
        for (int64_t row = first; row < last; row += ROWS)
            for (int64_t c = 0; c < C; c += W) {
                Floats x = {}, y = {};
                for (int64_t p = row; p < std::min(row + ROWS, last); p++)
                    f(p * C + c, c, x, y);
                Doubles da = read<Doubles>(pa + c) + __builtin_convertvector(x, Doubles);
                Doubles db = read<Doubles>(pb + c) + __builtin_convertvector(y, Doubles);
                __builtin_memcpy(pa + c, &da, sizeof da);
                __builtin_memcpy(pb + c, &db, sizeof db);
            }
    });
    a.assign(C, 0.0), b.assign(C, 0.0);
    for (int t = 0; t < threads; t++)
        for (int64_t c = 0; c < C; c++)
            a[c] += parts[2 * t * C + c], b[c] += parts[(2 * t + 1) * C + c];
}

template <class T>
void forward(const Shape &s, int threads, double eps, const T *x, const float *g, const float *o, T *y, float *mean, float *rstd) {
    int64_t C = s.channels, D = C / s.groups;
    std::vector<float> first(C), gain(C), offset(C);
    for (int64_t c = 0; c < C; c += W)
        store(&first[c], load(x + c)); // sums of differences from one place lose no digits to a large mean
    std::vector<double> a, b;
    sums(s, threads, a, b, [&](int64_t at, int64_t c, Floats &u, Floats &v) {
        Floats d = load(x + at) - load(&first[c]);
        u += d, v += d * d;
    });
    for (int64_t k = 0; k < s.groups; k++) {
        double m = 0, square = 0;
        for (int64_t c = k * D; c < (k + 1) * D; c++)
            m += first[c] + a[c] / s.places;
        m /= D;
        for (int64_t c = k * D; c < (k + 1) * D; c++) {
            double own = a[c] / s.places, off = first[c] + own - m;
            square += b[c] / s.places - own * own + off * off;
        }
        double r = 1 / std::sqrt(square / D + eps);
        mean[k] = (float)m, rstd[k] = (float)r;
        for (int64_t c = k * D; c < (k + 1) * D; c++)
            gain[c] = (float)(r * g[c]), offset[c] = (float)(o[c] - m * r * g[c]);
    }
    ranges(s.places, threads, [&](int, int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; p++)
            for (int64_t c = 0; c < C; c += W) {
                Floats z = load(x + p * C + c) * load(&gain[c]) + load(&offset[c]);
                store(y + p * C + c, s.silu ? z / (1 + exponential(-z)) : z);
            }
    });
}

// The derivative by z = g u + o, u = (x - mean) / std, of what comes down to y.
template <class T> inline Floats slope(const Shape &s, const T *dy, Floats z) {
    if (!s.silu)
        return load(dy);
    Floats q = 1 / (1 + exponential(-z));
    return load(dy) * q * (1 + z * (1 - q));
}

template <class T>
void backward(const Shape &s, int threads, const T *x, const T *dy, const float *g, const float *o, const float *mean, const float *rstd,
              T *dx, float *dg, float *d_o) {
    int64_t C = s.channels, D = C / s.groups;
    std::vector<float> scale(C), shift(C), whole(C), flat(C), tilt(C);
    for (int64_t c = 0; c < C; c++)
        scale[c] = rstd[c / D], shift[c] = -mean[c / D] * rstd[c / D], whole[c] = rstd[c / D] * g[c];
    std::vector<double> a, b;
    sums(s, threads, a, b, [&](int64_t at, int64_t c, Floats &sum, Floats &product) {
        Floats u = load(x + at) * load(&scale[c]) + load(&shift[c]);
        Floats dz = slope(s, dy + at, u * load(g + c) + load(o + c));
        sum += dz, product += dz * u;
    });
    for (int64_t k = 0; k < s.groups; k++) {
        double level = 0, along = 0;
        for (int64_t c = k * D; c < (k + 1) * D; c++)
            level += g[c] * a[c], along += g[c] * b[c], d_o[c] = (float)a[c], dg[c] = (float)b[c];
        for (int64_t c = k * D; c < (k + 1) * D; c++)
            flat[c] = (float)(rstd[k] * level / (s.places * D)), tilt[c] = (float)(rstd[k] * along / (s.places * D));
    }
    ranges(s.places, threads, [&](int, int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; p++)
            for (int64_t c = 0; c < C; c += W) {
                Floats u = load(x + p * C + c) * load(&scale[c]) + load(&shift[c]);
                Floats dz = slope(s, dy + p * C + c, u * load(g + c) + load(o + c));
                store(dx + p * C + c, dz * load(&whole[c]) - u * load(&tilt[c]) - load(&flat[c]));
            }
    });
}

// One sample a thread where there are enough of them, so that a sample is still in the cache when it is read again;
// else all threads on each. Regions never stand inside each other, for that makes new threads at every call.
template <class F> void each(const Shape &s, int threads, F f) {
    if (s.samples < threads || threads == 1) {
        for (int64_t n = 0; n < s.samples; n++)
            f(n, threads);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t n = 0; n < s.samples; n++)
        f(n, 1);
}

template <class T>
void forward_all(Shape s, int threads, double eps, const T *x, const float *g, const float *o, T *y, float *mean, float *rstd) {
    int64_t PC = s.places * s.channels, C = s.channels, G = s.groups;
    each(s, threads, [&](int64_t n, int inner) {
        forward(s, inner, eps, x + n * PC, g + n * C, o + n * C, y + n * PC, mean + n * G, rstd + n * G);
    });
}

template <class T>
void backward_all(Shape s, int threads, const T *x, const T *dy, const float *g, const float *o, const float *mean, const float *rstd, T *dx,
                  float *dg, float *d_o) {
    int64_t PC = s.places * s.channels, C = s.channels, G = s.groups;
    each(s, threads, [&](int64_t n, int inner) {
        backward(s, inner, x + n * PC, dy + n * PC, g + n * C, o + n * C, mean + n * G, rstd + n * G, dx + n * PC, dg + n * C, d_o + n * C);
    });
}

} // namespace

#define EXPORT(name, T)                                                                                                                    \
    extern "C" void forward_##name(int64_t N, int64_t P, int64_t C, int64_t G, int silu, int threads, double eps, const void *x,          \
                                   const float *g, const float *o, void *y, float *mean, float *rstd) {                                   \
        forward_all<T>({N, P, C, G, silu}, threads, eps, (const T *)x, g, o, (T *)y, mean, rstd);                                         \
    }                                                                                                                                      \
    extern "C" void backward_##name(int64_t N, int64_t P, int64_t C, int64_t G, int silu, int threads, const void *x, const void *dy,     \
                                    const float *g, const float *o, const float *mean, const float *rstd, void *dx, float *dg,            \
                                    float *d_o) {                                                                                          \
        backward_all<T>({N, P, C, G, silu}, threads, (const T *)x, (const T *)dy, g, o, mean, rstd, (T *)dx, dg, d_o);                    \
    }
EXPORT(float32, float)
EXPORT(bfloat16, uint16_t)
