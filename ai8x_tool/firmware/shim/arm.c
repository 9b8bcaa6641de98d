/*
 * The Arm core: vector table, interrupts, sleep.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "mxc.h"
#include "shim.h"

#define EXCEPTIONS 16
#define VECTORS (EXCEPTIONS + 120)
#define NVIC_ISER ((volatile uint32_t *) 0xe000e100)
#define NVIC_ICER ((volatile uint32_t *) 0xe000e180)
#define NVIC_ICPR ((volatile uint32_t *) 0xe000e280)
#define SCB_VTOR (*(volatile uint32_t *) 0xe000ed08)
#define SCB_SCR (*(volatile uint32_t *) 0xe000ed10)
#define SCR_SLEEPDEEP (1u << 2)
#define PM_LOW_POWER 8u

typedef void (*handler_t)(void);

extern uint32_t __stack_top[];
void shim_start(void);

static void unexpected(void)
{
  while (1) {
  }
}

/* After reset, table and handlers lie in flash. */
__attribute__((section(".vectors"), used)) static const handler_t reset_vectors[EXCEPTIONS] = {
  (handler_t) __stack_top, shim_start, unexpected, unexpected, unexpected, unexpected, unexpected, unexpected,
  unexpected,              unexpected, unexpected, unexpected, unexpected, unexpected, unexpected, unexpected,
};

/* The first interrupt handler that is set moves the table to SRAM. */
static handler_t vectors[VECTORS] __attribute__((aligned(1024)));

void MXC_NVIC_SetVector(IRQn_Type irq, void (*handler)(void))
{
  if (SCB_VTOR != (uint32_t) vectors) {
    for (int i = 0; i < VECTORS; i++) {
      vectors[i] = i < EXCEPTIONS ? reset_vectors[i] : unexpected;
    }
    SCB_VTOR = (uint32_t) vectors;
  }
  vectors[EXCEPTIONS + irq] = handler;
  NVIC_ClearPendingIRQ(irq);
  NVIC_EnableIRQ(irq);
}

void NVIC_EnableIRQ(IRQn_Type irq) { NVIC_ISER[irq / 32] = 1u << (irq % 32); }
void NVIC_DisableIRQ(IRQn_Type irq) { NVIC_ICER[irq / 32] = 1u << (irq % 32); }
void NVIC_ClearPendingIRQ(IRQn_Type irq) { NVIC_ICPR[irq / 32] = 1u << (irq % 32); }

void MXC_LP_EnterSleepMode(void)
{
  SCB_SCR &= ~SCR_SLEEPDEEP;
  __WFI();
}

void MXC_LP_EnterLowPowerMode(void)
{
  SCB_SCR |= SCR_SLEEPDEEP;
  MXC_GCR->pm |= PM_LOW_POWER;
  __WFI();
}
