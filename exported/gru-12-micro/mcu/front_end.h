/* Sound -> MFCC -> the int8 input of the model: what the model was trained on, frame by frame. C99 and its standard
 * library only; sizes and tables are the model's own. One stream needs sizeof(FrontEnd) bytes and no heap.
 *
 *     FrontEnd front_end;
 *     front_end_start(&front_end);
 *     while (count > 0) {                                  // sound as it comes, chunks of any size
 *         size_t taken = front_end_push(&front_end, samples, count);
 *         samples += taken;
 *         count -= taken;
 *         if (front_end.ready) {                            // one step of frames is complete
 *             front_end_quantize(&front_end, input_scale, input_zero_point, input);
 *             ...                                          // run the model on it
 *         }
 *     }
 */
#ifndef FRONT_END_H
#define FRONT_END_H

#include <stddef.h>
#include <stdint.h>

#include "front_end_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Values of one step of the model: FRONT_END_STACK frames of FRONT_END_N_MFCC coefficients. */
#define FRONT_END_STEP (FRONT_END_STACK * FRONT_END_N_MFCC)

typedef struct {
    float samples[FRONT_END_N_FFT]; /* the newest, oldest first */
    float work[FRONT_END_N_FFT];
    float mfcc[FRONT_END_STEP]; /* of the step: frame by frame, coefficient 0 first */
    int filled;                 /* samples that are there */
    int frames;                 /* frames of the step that are there */
    int ready;                  /* 1 where a push has just completed a step, until the next one */
} FrontEnd;

/* Begin a stream; nothing is heard yet. */
void front_end_start(FrontEnd *front_end);

/* Take sound: mono, FRONT_END_SAMPLE_RATE Hz, 16 bits. Stops after the sample that completes a step, with ready = 1.
 * Returns how many samples were taken, at least one where there are some. */
size_t front_end_push(FrontEnd *front_end, const int16_t *samples, size_t count);

/* The same for floats of full scale +-1. What is no number is heard as silence. */
size_t front_end_push_float(FrontEnd *front_end, const float *samples, size_t count);

/* The step as the model takes it: less the mean of the training data, all coefficients of like spread, quantized.
 * scale, zero_point: of the model's input tensor; input: FRONT_END_STEP values. */
void front_end_quantize(const FrontEnd *front_end, float scale, int zero_point, int8_t *input);

#ifdef __cplusplus
}
#endif

#endif
