/* Written by speech-rnn export. */
#ifndef STEP_INT8_H
#define STEP_INT8_H

#define STEP_INT8_ARENA 14336
#define STEP_INT8_INPUT_SCALE 0.0078125f
#define STEP_INT8_INPUT_ZERO_POINT 0

/* The bytes of step_int8.tflite, on a boundary of 16 bytes. */
#ifdef __cplusplus
extern "C" {
#endif
extern const unsigned char step_int8[76320];
extern const unsigned int step_int8_size;
#ifdef __cplusplus
}
#endif

#endif
