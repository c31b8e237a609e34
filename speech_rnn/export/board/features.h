/* Sound -> MFCC -> the int8 input of the model: what the model was trained on, frame by frame. C99 and its standard
 * library only; sizes and tables are the model's own. One stream needs sizeof(Features) bytes and no heap.
 *
 *     Features features;
 *     features_start(&features);
 *     while (count > 0) {                                  // sound as it comes, chunks of any size
 *         size_t taken = features_push(&features, samples, count);
 *         samples += taken;
 *         count -= taken;
 *         if (features.ready) {                            // one step of frames is complete
 *             features_quantize(&features, input_scale, input_zero_point, input);
 *             ...                                          // run the model on it
 *         }
 *     }
 */
#ifndef FEATURES_H
#define FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "feature_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values of one step of the model: FEATURES_STACK frames of FEATURES_N_MFCC coefficients. */
#define FEATURES_STEP (FEATURES_STACK * FEATURES_N_MFCC)

typedef struct {
    float samples[FEATURES_N_FFT]; /* the newest, oldest first */
    float work[FEATURES_N_FFT];
    float mfcc[FEATURES_STEP]; /* of the step: frame by frame, coefficient 0 first */
    int filled;                /* samples that are there */
    int frames;                /* frames of the step that are there */
    int ready;                 /* 1 where a push has just completed a step, until the next one */
} Features;

/* Begin a stream; nothing is heard yet. */
void features_start(Features *features);

/* Take sound: mono, FEATURES_SAMPLE_RATE Hz, 16 bits. Stops after the sample that completes a step, with ready = 1.
 * Returns how many samples were taken, at least one where there are some. */
size_t features_push(Features *features, const int16_t *samples, size_t count);

/* The same for floats of full scale +-1. What is no number is heard as silence. */
size_t features_push_float(Features *features, const float *samples, size_t count);

/* The step as the model takes it: less the mean of the training data, all coefficients of like spread, quantized.
 * scale, zero_point: of the model's input tensor; input: FEATURES_STEP values. */
void features_quantize(const Features *features, float scale, int zero_point, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif
