/* The parts of the SDK that generated projects use, for compiling and running them on a PC. */
#ifndef MXC_H_
#define MXC_H_

#include <stdint.h>

typedef struct { volatile uint32_t pclkdiv, ipll_ctrl; } mxc_gcr_regs_t;
typedef struct { volatile uint32_t lppwen; } mxc_pwrseq_regs_t;
typedef struct { volatile uint32_t out; } mxc_gpio_regs_t;
typedef struct { int number; } mxc_tmr_regs_t;
typedef struct { int number; } mxc_icc_regs_t;
typedef enum { MXC_GPIO_PAD_NONE } mxc_gpio_pad_t;
typedef enum { MXC_GPIO_FUNC_OUT } mxc_gpio_func_t;
typedef struct {
  mxc_gpio_regs_t *port;
  uint32_t mask;
  mxc_gpio_func_t func;
  mxc_gpio_pad_t pad;
} mxc_gpio_cfg_t;

extern mxc_gcr_regs_t host_gcr;
extern mxc_pwrseq_regs_t host_pwrseq;
extern mxc_gpio_regs_t host_gpio[3];
extern mxc_tmr_regs_t host_timer[6];
extern mxc_icc_regs_t host_icc[2];

#define MXC_GCR (&host_gcr)
#define MXC_PWRSEQ (&host_pwrseq)
#define MXC_GPIO0 (&host_gpio[0])
#define MXC_GPIO1 (&host_gpio[1])
#define MXC_GPIO2 (&host_gpio[2])
#define MXC_GPIO_PIN_5 (1u << 5)
#define MXC_TMR0 (&host_timer[0])
#define MXC_TMR1 (&host_timer[1])
#define MXC_ICC0 (&host_icc[0])
#define MXC_ICC1 (&host_icc[1])

#define MXC_F_GCR_PCLKDIV_CNNCLKDIV (7u << 14)
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL (1u << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1 (4u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV2 (0u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV4 (1u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV8 (2u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV16 (3u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK 0u
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_IPLL (1u << 17)
#define MXC_F_GCR_IPLL_CTRL_EN 1u
#define MXC_F_GCR_IPLL_CTRL_RDY 2u
#define MXC_F_PWRSEQ_LPPWEN_CPU1 4u

#define SEC(s) ((s) * 1000000u)
#define MSEC(ms) ((ms) * 1000u)

typedef enum { CNN_IRQn, RISCV_IRQn } IRQn_Type;
typedef enum { MXC_SYS_CLOCK_IPO } mxc_sys_clock_t;
typedef enum { MXC_SYS_PERIPH_CLOCK_CNN, MXC_SYS_PERIPH_CLOCK_SMPHR, MXC_SYS_PERIPH_CLOCK_CPU1 } mxc_sys_periph_t;

void MXC_ICC_Enable(mxc_icc_regs_t *icc);
int MXC_SYS_Clock_Select(mxc_sys_clock_t clock);
void MXC_SYS_ClockEnable(mxc_sys_periph_t clock);
void MXC_SYS_ClockDisable(mxc_sys_periph_t clock);
void SystemCoreClockUpdate(void);
int MXC_Delay(uint32_t us);
void MXC_NVIC_SetVector(IRQn_Type irq, void (*handler)(void));
void MXC_LP_EnterSleepMode(void);
void MXC_LP_EnterLowPowerMode(void);
void MXC_TMR_SW_Start(mxc_tmr_regs_t *timer);
uint32_t MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer);
int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg);
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask);
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask);
int Debug_Init(void);
void __enable_irq(void);
void NVIC_EnableIRQ(IRQn_Type irq);
void NVIC_EnableEVENT(IRQn_Type irq);
void NVIC_ClearPendingIRQ(IRQn_Type irq);
void NVIC_ClearPendingEVENT(IRQn_Type irq);

#endif
