/*
 * What the shim's files need of each other, and of the project.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SHIM_H_
#define SHIM_H_

#include <stdint.h>

/* The variable that the project's interrupt handler sets */
extern volatile uint32_t cnn_time;

/* Write one character to the console. */
void shim_putchar(char character);

/* Let `us` microseconds pass. */
void shim_delay(uint32_t us);

/* The end of the program: the emulator stops when this function is called. */
void shim_exit(int status) __attribute__((noreturn));

/* Sleep until the network is done. */
void shim_wait(void);

#endif /* SHIM_H_ */
