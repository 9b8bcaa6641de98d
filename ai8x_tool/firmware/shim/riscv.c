/*
 * The RISC-V core: start, vector table, interrupts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "mxc.h"
#include "shim.h"

/* The interrupt controller, as the emulator has it */
#define ENABLE ((volatile uint32_t *) 0xe5070000)
#define CLEAR_PENDING ((volatile uint32_t *) 0xe5070010)
#define EVENT_ENABLE ((volatile uint32_t *) 0xe5070020)
#define EVENT_CLEAR_PENDING ((volatile uint32_t *) 0xe5070030)

__asm__(".section .vectors, \"ax\"\n"
        ".globl shim_reset\n"
        ".option push\n"
        ".option norelax\n"
        ".option norvc\n"
        "shim_reset:\n"
        "  la sp, __stack_top\n"
        "  la t0, shim_vectors\n"
        "  ori t0, t0, 1\n" /* One entry for each interrupt */
        "  csrw mtvec, t0\n"
        "  j shim_start\n"
        "  .balign 256\n"
        "shim_vectors:\n"
        "  .rept 57\n"
        "  j shim_unexpected\n"
        "  .endr\n"
        "  j CNN_IRQHandler\n"
        "  .rept 6\n"
        "  j shim_unexpected\n"
        "  .endr\n"
        ".option pop\n"
        ".text\n");

void __attribute__((used)) shim_unexpected(void)
{
  while (1) {
  }
}

void __attribute__((weak)) CNN_IRQHandler(void)
{
  shim_unexpected();
}

void NVIC_EnableIRQ(IRQn_Type irq) { ENABLE[irq / 32] |= 1u << (irq % 32); }
void NVIC_DisableIRQ(IRQn_Type irq) { ENABLE[irq / 32] &= ~(1u << (irq % 32)); }
void NVIC_ClearPendingIRQ(IRQn_Type irq) { CLEAR_PENDING[irq / 32] = 1u << (irq % 32); }
void NVIC_EnableEVENT(IRQn_Type irq) { EVENT_ENABLE[irq / 32] |= 1u << (irq % 32); }
void NVIC_ClearPendingEVENT(IRQn_Type irq) { EVENT_CLEAR_PENDING[irq / 32] = 1u << (irq % 32); }

void MXC_LP_EnterSleepMode(void)
{
  __WFI();
}
