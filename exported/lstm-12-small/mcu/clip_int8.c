/* Written by speech-rnn export: the bytes of clip_int8.tflite, which the assembler reads from the folder of
   this file: compile with -I and that folder. */
#include "clip_int8.h"

#if !defined(__ELF__)
#error this needs GCC or Clang, and ELF; speech-rnn export writes an array for others
#endif

/* Weights are read as words: without alignment some processors fault. */
__asm__(".section .rodata.clip_int8, \"a\"\n.balign 16\n.global clip_int8\nclip_int8:\n"
        ".incbin \"clip_int8.tflite\"\n.balign 16\n.previous\n");
const unsigned int clip_int8_size = 76480;
