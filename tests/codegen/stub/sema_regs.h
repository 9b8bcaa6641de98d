#ifndef SEMA_REGS_H_
#define SEMA_REGS_H_
#include <stdint.h>
typedef struct { volatile uint32_t irq0; } mxc_sema_regs_t;
extern mxc_sema_regs_t host_sema;
#define MXC_SEMA (&host_sema)
#define MXC_F_SEMA_IRQ0_EN 1u
#define MXC_F_SEMA_IRQ0_CM4_IRQ 0x10000u
#endif
