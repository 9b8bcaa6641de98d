#ifndef GCFR_REGS_H_
#define GCFR_REGS_H_
#include <stdint.h>
typedef struct { volatile uint32_t reg0, reg1, reg2, reg3; } mxc_gcfr_regs_t;
extern mxc_gcfr_regs_t host_gcfr;
#define MXC_GCFR (&host_gcfr)
#endif
