#ifndef FCR_REGS_H_
#define FCR_REGS_H_
#include <stdint.h>
typedef struct { volatile uint32_t urvbootaddr, urvctrl; } mxc_fcr_regs_t;
extern mxc_fcr_regs_t host_fcr;
#define MXC_FCR (&host_fcr)
#endif
