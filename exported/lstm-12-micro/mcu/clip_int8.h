/* Written by speech-rnn export. */
#ifndef CLIP_INT8_H
#define CLIP_INT8_H

#define CLIP_INT8_ARENA 25600
#define CLIP_INT8_INPUT_SCALE 0.0078125f
#define CLIP_INT8_INPUT_ZERO_POINT 0

/* The bytes of clip_int8.tflite, on a boundary of 16 bytes. */
#ifdef __cplusplus
extern "C" {
#endif
extern const unsigned char clip_int8[28928];
extern const unsigned int clip_int8_size;
#ifdef __cplusplus
}
#endif

#endif
