/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STDLIB_H_
#define STDLIB_H_

#include <stddef.h>

#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1

void exit(int status) __attribute__((noreturn));
void abort(void) __attribute__((noreturn));
int abs(int value);

#endif /* STDLIB_H_ */
