/* Sound -> MFCC, as librosa computes it (melspectrogram with center=False, power_to_db with top_db=None, mfcc): within
 * 1e-3 for speech, noise and silence at usual settings, else as near as a float32 FFT comes. See front_end.h. */
#include "front_end.h"

#include <math.h>
#include <string.h>

#include "front_end_tables.h"

#define HALF (FRONT_END_N_FFT / 2)
#define QUARTER (FRONT_END_N_FFT / 4)
#define LARGEST_SAMPLE 1000.0f /* over 60 dB above full scale is no sound */

static const float DB_PER_NEPER = 4.3429448f; /* 10 / ln 10 */

/* cos(2 pi k / n_fft), 0 <= k <= n_fft / 2 */
static float cosine(int k)
{
    return k <= QUARTER ? front_end_quarter_wave[k] : -front_end_quarter_wave[HALF - k];
}

static float sine(int k)
{
    return k <= QUARTER ? front_end_quarter_wave[QUARTER - k] : front_end_quarter_wave[k - QUARTER];
}

/* Fourier transform of HALF complex values in place, real and imaginary part side by side: radix 2, decimation in
 * time (Cooley and Tukey 1965). */
static void transform(float *x)
{
    int i, j = 0, k, span;

    for (i = 1; i < HALF; i++) {
        int bit = HALF >> 1;

        while (j & bit) {
            j ^= bit;
            bit >>= 1;
        }
        j ^= bit;
        if (i < j) {
            const float real = x[2 * i], imaginary = x[2 * i + 1];

            x[2 * i] = x[2 * j];
            x[2 * i + 1] = x[2 * j + 1];
            x[2 * j] = real;
            x[2 * j + 1] = imaginary;
        }
    }
    for (span = 1; span < HALF; span *= 2) {
        for (k = 0; k < span; k++) {
            const float c = cosine(k * (HALF / span)), s = sine(k * (HALF / span));

            for (i = k; i < HALF; i += 2 * span) {
                float *a = x + 2 * i, *b = x + 2 * (i + span);
                const float real = c * b[0] + s * b[1], imaginary = c * b[1] - s * b[0];

                b[0] = a[0] - real;
                b[1] = a[1] - imaginary;
                a[0] += real;
                a[1] += imaginary;
            }
        }
    }
}

/* Power of each bin of n_fft real samples, in place: that of bin k goes to x[2 * k], that of the last to x[1].
 * Even samples are taken as real parts, odd ones as imaginary parts, and their spectra separated afterwards. */
static void power_spectrum(float *x)
{
    int k;
    float sum, difference;

    transform(x);
    sum = x[0] + x[1];
    difference = x[0] - x[1];
    x[0] = sum * sum;
    x[1] = difference * difference;
    for (k = 1; k <= HALF / 2; k++) {
        float *a = x + 2 * k, *b = x + 2 * (HALF - k);
        const float even_real = 0.5f * (a[0] + b[0]), even_imaginary = 0.5f * (a[1] - b[1]);
        const float odd_real = 0.5f * (a[1] + b[1]), odd_imaginary = 0.5f * (b[0] - a[0]);
        const float c = cosine(k), s = sine(k);
        const float real = c * odd_real + s * odd_imaginary, imaginary = c * odd_imaginary - s * odd_real;

        a[0] = (even_real + real) * (even_real + real) + (even_imaginary + imaginary) * (even_imaginary + imaginary);
        b[0] = (even_real - real) * (even_real - real) + (even_imaginary - imaginary) * (even_imaginary - imaginary);
    }
}

/* MFCC of the newest n_fft samples. */
static void compute_frame(FrontEnd *front_end, float *mfcc)
{
    float above_floor[FRONT_END_N_MELS]; /* dB */
    float *x = front_end->work;
    const float *weight = front_end_band_weights;
    int i, band;

    memset(x, 0, sizeof front_end->work);
    for (i = 0; i < FRONT_END_WIN_LENGTH; i++)
        x[FRONT_END_WIN_START + i] = front_end->samples[FRONT_END_WIN_START + i] * front_end_window[i];
    power_spectrum(x);
    for (band = 0; band < FRONT_END_N_MELS; band++) {
        const int first = front_end_band_first[band], bins = front_end_band_bins[band];
        float power = 0.0f;

        for (i = first; i < first + bins; i++)
            power += *weight++ * (i < HALF ? x[2 * i] : x[1]);
        /* False for what is no number, too. */
        above_floor[band] = power > FRONT_END_POWER_FLOOR ? DB_PER_NEPER * logf(power) - FRONT_END_FLOOR_DB : 0.0f;
    }
    for (i = 0; i < FRONT_END_N_MFCC; i++) {
        float sum = i == 0 ? FRONT_END_FLOOR_MFCC : 0.0f; /* coefficient 0 alone hears a constant */

        for (band = 0; band < FRONT_END_N_MELS; band++)
            sum += above_floor[band] * front_end_cosines[i][band];
        mfcc[i] = sum;
    }
}

/* Take one sample. */
static void push(FrontEnd *front_end, float sample)
{
    front_end->ready = 0;
    front_end->samples[front_end->filled++] = sample;
    if (front_end->filled < FRONT_END_N_FFT)
        return;
    compute_frame(front_end, front_end->mfcc + front_end->frames * FRONT_END_N_MFCC);
    front_end->filled = FRONT_END_N_FFT - FRONT_END_HOP_LENGTH;
    memmove(front_end->samples, front_end->samples + FRONT_END_HOP_LENGTH, (size_t)front_end->filled * sizeof(float));
    if (++front_end->frames == FRONT_END_STACK) {
        front_end->frames = 0;
        front_end->ready = 1;
    }
}

void front_end_start(FrontEnd *front_end)
{
    front_end->filled = 0;
    front_end->frames = 0;
    front_end->ready = 0;
}

size_t front_end_push(FrontEnd *front_end, const int16_t *samples, size_t count)
{
    size_t taken = 0;

    while (taken < count) {
        push(front_end, (float)samples[taken++] * (1.0f / 32768.0f));
        if (front_end->ready)
            break;
    }
    return taken;
}

size_t front_end_push_float(FrontEnd *front_end, const float *samples, size_t count)
{
    size_t taken = 0;

    while (taken < count) {
        const float sample = samples[taken++];

        push(front_end, sample >= -LARGEST_SAMPLE && sample <= LARGEST_SAMPLE ? sample : 0.0f);
        if (front_end->ready)
            break;
    }
    return taken;
}

void front_end_quantize(const FrontEnd *front_end, float scale, int zero_point, int8_t *input)
{
    int i;

    for (i = 0; i < FRONT_END_STEP; i++) {
        const int coefficient = i % FRONT_END_N_MFCC;
        const float normal = (front_end->mfcc[i] - front_end_mean[coefficient]) * front_end_factor[coefficient];
        const float value = rintf(normal / scale) + (float)zero_point;

        /* Bounded before it becomes an integer: beyond its range a conversion is undefined. */
        input[i] = (int8_t)fminf(fmaxf(value, -128.0f), 127.0f);
    }
}
