/*
 * What both cores do in the emulator: console, delays, the end of the program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "mxc.h"
#include "shim.h"

#define UART_FIFO (*(volatile uint32_t *) 0x40042020)
#define EMULATOR_DELAY (*(volatile uint32_t *) 0x400ff000) /* Not of the part: lets time pass at once */

int main(void);
extern uint32_t __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];

void shim_putchar(char character)
{
  UART_FIFO = (uint8_t) character;
}

void shim_delay(uint32_t us)
{
  EMULATOR_DELAY = us;
}

void __attribute__((noinline, used)) shim_exit(int status)
{
  (void) status;
  while (1) {
    __asm__ volatile("");
  }
}

void __attribute__((noreturn, used)) shim_start(void)
{
  const uint32_t *from = __data_load;

  for (uint32_t *to = __data_start; to < __data_end;) {
    *to++ = *from++;
  }
  for (uint32_t *to = __bss_start; to < __bss_end;) {
    *to++ = 0;
  }
  shim_exit(main());
}
