/* Written by speech-rnn export. */
#ifndef LABELS_H
#define LABELS_H

#define N_LABELS 40

static const char *const labels[N_LABELS] = {
    "backward",
    "cancel",
    "close",
    "digit",
    "direction",
    "disable",
    "down",
    "eight",
    "enable",
    "enter",
    "five",
    "forward",
    "four",
    "left",
    "move",
    "next",
    "nine",
    "no",
    "ok",
    "one",
    "open",
    "options",
    "previous",
    "receive",
    "record",
    "right",
    "rotate",
    "send",
    "seven",
    "six",
    "start",
    "stop",
    "three",
    "two",
    "undo",
    "up",
    "yes",
    "zero",
    "zoom in",
    "zoom out",
};

#endif
