/* Console output. SPDX-License-Identifier: Apache-2.0 */
#ifndef STDIO_H_
#define STDIO_H_

#include <stdarg.h>
#include <stddef.h>

int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(const char *format, va_list arguments);
int sprintf(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int snprintf(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *text, size_t size, const char *format, va_list arguments);
int puts(const char *text);
int putchar(int character);

#endif /* STDIO_H_ */
