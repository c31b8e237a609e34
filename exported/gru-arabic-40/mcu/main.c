/* Try the front end on a computer.
 *
 *     cc -std=c99 -O2 -o front_end main.c front_end.c -lm
 *     ./front_end               compares with what librosa says of a bit of speech (front_end_golden.h)
 *     ./front_end sound.raw    prints the MFCC of a file, a frame a line; mono, 16 bits, little-endian, no header
 */
#include <math.h>
#include <stdio.h>

#include "front_end.h"
#include "front_end_golden.h"

#define CHUNK 100

static FrontEnd front_end;

static int compare(void)
{
    const size_t count = sizeof front_end_golden_samples / sizeof front_end_golden_samples[0];
    const size_t steps = sizeof front_end_golden_mfcc / sizeof front_end_golden_mfcc[0];
    size_t at = 0, step = 0, i;
    float largest = 0.0f;

    front_end_start(&front_end);
    while (at < count) {
        at += front_end_push(&front_end, front_end_golden_samples + at, count - at);
        if (front_end.ready && step < steps) {
            for (i = 0; i < FRONT_END_STEP; i++)
                largest = fmaxf(largest, fabsf(front_end.mfcc[i] - front_end_golden_mfcc[step][i]));
            step++;
        }
    }
    printf("%lu of %lu steps, largest difference %g, allowed %g\n", (unsigned long)step, (unsigned long)steps,
           (double)largest, (double)FRONT_END_GOLDEN_TOLERANCE);
    return step == steps && largest <= FRONT_END_GOLDEN_TOLERANCE ? 0 : 1;
}

static void print_step(void)
{
    int i;

    for (i = 0; i < FRONT_END_STEP; i++)
        printf("%.9g%c", (double)front_end.mfcc[i], (i + 1) % FRONT_END_N_MFCC == 0 ? '\n' : ' ');
}

static int print_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    unsigned char bytes[2 * CHUNK];
    int16_t samples[CHUNK];
    size_t count, at, i;

    if (file == NULL) {
        fprintf(stderr, "%s can't be read\n", path);
        return 1;
    }
    front_end_start(&front_end);
    while ((count = fread(bytes, 2, CHUNK, file)) > 0) {
        for (i = 0; i < count; i++) {
            const int value = bytes[2 * i] + 256 * bytes[2 * i + 1];

            samples[i] = (int16_t)(value < 32768 ? value : value - 65536);
        }
        for (at = 0; at < count;) {
            at += front_end_push(&front_end, samples + at, count - at);
            if (front_end.ready)
                print_step();
        }
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    return argc > 1 ? print_file(argv[1]) : compare();
}
