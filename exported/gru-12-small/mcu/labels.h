/* Written by speech-rnn export. */
#ifndef LABELS_H
#define LABELS_H

#define N_LABELS 12

static const char *const labels[N_LABELS] = {
    "_silence_",
    "_unknown_",
    "yes",
    "no",
    "up",
    "down",
    "left",
    "right",
    "on",
    "off",
    "stop",
    "go",
};

#endif
