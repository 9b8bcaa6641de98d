/*
 * The little of the C library that generated projects use.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

static void put_number(output_t *out, unsigned long value, unsigned int base, int upper, int width, char fill, int left,
                       int negative)
{
  char digits[12];
  int length = 0;

  do {
    unsigned int digit = value % base;
    value /= base;
    digits[sizeof(digits) - 1 - length++] = (char) (digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
  } while (value);
  put_field(out, digits + sizeof(digits) - length, length, width, fill, left, negative);
}

/* d i u x X p c s %, with widths, '-', '0', and h and l before them */
static void format_text(output_t *out, const char *format, va_list arguments)
{
  for (; *format; format++) {
    int left = 0, width = 0;
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
    while (*format == 'l' || *format == 'h') {
      format++;
    }
    if (*format == 'd' || *format == 'i') {
      long value = va_arg(arguments, long);
      put_number(out, value < 0 ? -(unsigned long) value : (unsigned long) value, 10, 0, width, fill, left, value < 0);
    } else if (*format == 'u') {
      put_number(out, va_arg(arguments, unsigned long), 10, 0, width, fill, left, 0);
    } else if (*format == 'x' || *format == 'X' || *format == 'p') {
      put_number(out, va_arg(arguments, unsigned long), 16, *format == 'X', width, fill, left, 0);
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

void *memcpy(void *restrict target, const void *restrict source, size_t size)
{
  return memmove(target, source, size);
}

void *memmove(void *target, const void *source, size_t size)
{
  char *to = target;
  const char *from = source;

  if (to <= from) {
    for (size_t i = 0; i < size; i++) {
      to[i] = from[i];
    }
  } else {
    while (size-- > 0) {
      to[size] = from[size];
    }
  }
  return target;
}

void *memset(void *target, int value, size_t size)
{
  char *to = target;

  for (size_t i = 0; i < size; i++) {
    to[i] = (char) value;
  }
  return target;
}

int memcmp(const void *a, const void *b, size_t size)
{
  const unsigned char *x = a, *y = b;

  for (; size > 0; size--, x++, y++) {
    if (*x != *y) {
      return *x - *y;
    }
  }
  return 0;
}

size_t strlen(const char *text)
{
  size_t length = 0;
  while (text[length]) {
    length++;
  }
  return length;
}

int strcmp(const char *a, const char *b)
{
  for (; *a && *a == *b; a++, b++) {
  }
  return (unsigned char) *a - (unsigned char) *b;
}

int abs(int value)
{
  return value < 0 ? -value : value;
}

void exit(int status)
{
  shim_exit(status);
}

void abort(void)
{
  shim_exit(134);
}

void ai8x_assertion_failed(const char *condition, const char *file, int line)
{
  printf("%s:%d: assertion failed: %s\n", file, line, condition);
  abort();
}

/* 64-bit division, which compilers leave to a function of theirs */
uint64_t shim_divide(uint64_t numerator, uint64_t denominator, uint64_t *remainder)
{
  uint64_t quotient = 0, rest = 0;

  for (int i = 63; i >= 0; i--) {
    rest = rest << 1 | (numerator >> i & 1);
    quotient <<= 1;
    if (rest >= denominator) {
      rest -= denominator;
      quotient |= 1;
    }
  }
  *remainder = rest;
  return quotient;
}

#ifdef AI8X_RISCV
uint64_t __udivdi3(uint64_t numerator, uint64_t denominator)
{
  uint64_t remainder;
  return shim_divide(numerator, denominator, &remainder);
}

uint64_t __umoddi3(uint64_t numerator, uint64_t denominator)
{
  uint64_t remainder;
  shim_divide(numerator, denominator, &remainder);
  return remainder;
}
#else
/* Quotient in r1:r0, remainder in r3:r2 */
__attribute__((naked)) void __aeabi_uldivmod(void)
{
  __asm__ volatile("push {r6, lr}\n"
                   "sub sp, sp, #16\n"
                   "add r6, sp, #8\n"
                   "str r6, [sp]\n"
                   "bl shim_divide\n"
                   "ldr r2, [sp, #8]\n"
                   "ldr r3, [sp, #12]\n"
                   "add sp, sp, #16\n"
                   "pop {r6, pc}\n");
}

/* The Arm compilers' own names for what the C library has */
void __aeabi_memcpy(void *target, const void *source, size_t size) { memmove(target, source, size); }
void __aeabi_memcpy4(void *target, const void *source, size_t size) { memmove(target, source, size); }
void __aeabi_memcpy8(void *target, const void *source, size_t size) { memmove(target, source, size); }
void __aeabi_memmove(void *target, const void *source, size_t size) { memmove(target, source, size); }
void __aeabi_memmove4(void *target, const void *source, size_t size) { memmove(target, source, size); }
void __aeabi_memset(void *target, size_t size, int value) { memset(target, value, size); }
void __aeabi_memset4(void *target, size_t size, int value) { memset(target, value, size); }
void __aeabi_memset8(void *target, size_t size, int value) { memset(target, value, size); }
void __aeabi_memclr(void *target, size_t size) { memset(target, 0, size); }
void __aeabi_memclr4(void *target, size_t size) { memset(target, 0, size); }
void __aeabi_memclr8(void *target, size_t size) { memset(target, 0, size); }
#endif
