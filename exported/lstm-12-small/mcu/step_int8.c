/* Written by speech-rnn export: the bytes of step_int8.tflite, which the assembler reads from the folder of
   this file: compile with -I and that folder. */
#include "step_int8.h"

#if !defined(__ELF__)
#error this needs GCC or Clang, and ELF; speech-rnn export writes an array for others
#endif

/* Weights are read as words: without alignment some processors fault. */
__asm__(".section .rodata.step_int8, \"a\"\n.balign 16\n.global step_int8\nstep_int8:\n"
        ".incbin \"step_int8.tflite\"\n.balign 16\n.previous\n");
const unsigned int step_int8_size = 76320;
