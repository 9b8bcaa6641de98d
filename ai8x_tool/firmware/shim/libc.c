/*
 * The rest of the C library that generated projects and compilers use.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "shim.h"

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

/* 64-bit division, which compilers leave to a function of theirs */
uint64_t shim_divide(uint64_t numerator, uint64_t denominator, uint64_t *remainder)
{
  uint64_t rest = 0;

  /* Bits of the quotient take the places of those of the numerator. */
  for (int i = 0; i < 64; i++) {
    rest = rest << 1 | numerator >> 63;
    numerator <<= 1;
    if (rest >= denominator) {
      rest -= denominator;
      numerator |= 1;
    }
  }
  *remainder = rest;
  return numerator;
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
