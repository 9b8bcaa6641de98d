/* The accelerator's power and reset registers. SPDX-License-Identifier: Apache-2.0 */
#ifndef GCFR_REGS_H_
#define GCFR_REGS_H_

#include <stdint.h>

typedef struct {
  volatile uint32_t reg0, reg1, reg2, reg3;
} mxc_gcfr_regs_t;

#define MXC_GCFR ((mxc_gcfr_regs_t *) 0x40005800)

#endif /* GCFR_REGS_H_ */
