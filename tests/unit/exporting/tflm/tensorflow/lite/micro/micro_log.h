// As much of TensorFlow Lite Micro as the example of an export needs, so that a test can build and run it.
#pragma once
#include <cstdarg>
#include <cstdio>

inline void MicroPrintf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
}
