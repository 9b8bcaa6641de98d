/* Semaphores, by which the cores interrupt each other. SPDX-License-Identifier: Apache-2.0 */
#ifndef SEMA_REGS_H_
#define SEMA_REGS_H_

#include <stdint.h>

typedef struct {
  volatile uint32_t semaphores[16];
  volatile uint32_t irq0, mail0, irq1, mail1;
} mxc_sema_regs_t;

#define MXC_SEMA ((mxc_sema_regs_t *) 0x4003e000)
#define MXC_F_SEMA_IRQ0_EN (1u << 0)
#define MXC_F_SEMA_IRQ0_CM4_IRQ (1u << 16)

#endif /* SEMA_REGS_H_ */
