/* The RISC-V core's start address. SPDX-License-Identifier: Apache-2.0 */
#ifndef FCR_REGS_H_
#define FCR_REGS_H_

#include <stdint.h>

typedef struct {
  volatile uint32_t reserved[4];
  volatile uint32_t urvbootaddr, urvctrl;
} mxc_fcr_regs_t;

#define MXC_FCR ((mxc_fcr_regs_t *) 0x40000800)

#endif /* FCR_REGS_H_ */
