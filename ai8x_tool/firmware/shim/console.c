/*
 * printf() and its relatives, on the console of the emulator or of the process that runs the program on a PC.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "shim.h"

typedef struct {
  char *text; /* NULL: the console */
  size_t size, length;
} output_t;

static void put(output_t *out, char character)
{
  if (!out->text) {
    shim_putchar(character);
  } else if (out->length + 1 < out->size) {
    out->text[out->length] = character;
  }
  out->length++;
}

static void put_field(output_t *out, const char *digits, int length, int width, char fill, int left, int negative)
{
  int padding = width - length - negative;

  if (negative && fill == '0') {
    put(out, '-');
  }
  for (int i = 0; !left && i < padding; i++) {
    put(out, fill);
  }
  if (negative && fill != '0') {
    put(out, '-');
  }
  for (int i = 0; i < length; i++) {
    put(out, digits[i]);
  }
  for (int i = 0; left && i < padding; i++) {
    put(out, ' ');
  }
}

static void put_number(output_t *out, unsigned long long value, unsigned int base, int upper, int width, char fill, int left,
                       int negative)
{
  char digits[24];
  int length = 0;

  do {
    /* Small numbers without the long division that these cores do not have */
    unsigned long long quotient = value >> 32 ? value / base : (uint32_t) value / base;
    unsigned int digit = (unsigned int) (value - quotient * base);
    value = quotient;
    digits[sizeof(digits) - 1 - length++] = (char) (digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
  } while (value);
  put_field(out, digits + sizeof(digits) - length, length, width, fill, left, negative);
}

/* d i u x X p c s and %, with widths, '-', '0', and h, l, ll and z before them */
static void format_text(output_t *out, const char *format, va_list arguments)
{
  for (; *format; format++) {
    int left = 0, width = 0, longs = 0;
    char fill = ' ';
    if (*format != '%') {
      put(out, *format);
      continue;
    }
    for (format++; *format == '-' || *format == '0'; format++) {
      left |= *format == '-';
      fill = *format == '0' ? '0' : fill;
    }
    for (; *format >= '0' && *format <= '9'; format++) {
      width = 10 * width + *format - '0';
    }
    for (; *format == 'l' || *format == 'z' || *format == 'h'; format++) {
      longs += *format != 'h';
    }
    if (*format == 'd' || *format == 'i') {
      long long value = longs > 1 ? va_arg(arguments, long long) : longs ? va_arg(arguments, long) : va_arg(arguments, int);
      unsigned long long size = value < 0 ? -(unsigned long long) value : (unsigned long long) value;
      put_number(out, size, 10, 0, width, fill, left, value < 0);
    } else if (*format == 'u' || *format == 'x' || *format == 'X') {
      unsigned long long value = longs > 1 ? va_arg(arguments, unsigned long long)
                                 : longs   ? va_arg(arguments, unsigned long)
                                           : va_arg(arguments, unsigned int);
      put_number(out, value, *format == 'u' ? 10 : 16, *format == 'X', width, fill, left, 0);
    } else if (*format == 'p') {
      put_number(out, (uintptr_t) va_arg(arguments, void *), 16, 0, width, fill, left, 0);
    } else if (*format == 'c') {
      char character = (char) va_arg(arguments, int);
      put_field(out, &character, 1, width, ' ', left, 0);
    } else if (*format == 's') {
      const char *text = va_arg(arguments, const char *);
      put_field(out, text, (int) strlen(text), width, ' ', left, 0);
    } else if (*format == '%') {
      put(out, '%');
    } else {
      put(out, '%');
      format--;
    }
  }
}

int vprintf(const char *format, va_list arguments)
{
  output_t out = { 0, 0, 0 };
  format_text(&out, format, arguments);
  return (int) out.length;
}

int printf(const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  int length = vprintf(format, arguments);
  va_end(arguments);
  return length;
}

int vsnprintf(char *text, size_t size, const char *format, va_list arguments)
{
  output_t out = { text, size, 0 };
  format_text(&out, format, arguments);
  if (size) {
    text[out.length < size ? out.length : size - 1] = 0;
  }
  return (int) out.length;
}

int snprintf(char *text, size_t size, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, size, format, arguments);
  va_end(arguments);
  return length;
}

int sprintf(char *text, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, SIZE_MAX / 2, format, arguments);
  va_end(arguments);
  return length;
}

int putchar(int character)
{
  shim_putchar((char) character);
  return character;
}

int puts(const char *text)
{
  return printf("%s\n", text);
}

void ai8x_assertion_failed(const char *condition, const char *file, int line)
{
  printf("%s:%d: assertion failed: %s\n", file, line, condition);
  shim_exit(134);
}
