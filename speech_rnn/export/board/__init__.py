"""The model for a microcontroller: int8 .tflite files without a front end, C arrays, and the front end in C."""
