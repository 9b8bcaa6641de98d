/*
 * The part of the vendor's SDK that generated projects use: registers at their addresses, and the functions of sdk.c.
 * It declares no more than the SDK's header of this name, for each core, so that what compiles here compiles there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MXC_H_
#define MXC_H_

#include <stddef.h>
#include <stdint.h>

typedef struct {
  volatile uint32_t reserved0[2];
  volatile uint32_t clkctrl;
  volatile uint32_t pm;
  volatile uint32_t ipll_ctrl; /* MAX78002 only */
  volatile uint32_t reserved1;
  volatile uint32_t pclkdiv;
  volatile uint32_t reserved2[2];
  volatile uint32_t pclkdis0;
  volatile uint32_t reserved3[8];
  volatile uint32_t pclkdis1;
} mxc_gcr_regs_t;

typedef struct {
  volatile uint32_t reserved[13];
  volatile uint32_t lppwen;
} mxc_pwrseq_regs_t;

typedef struct {
  volatile uint32_t en0, en0_set, en0_clr;
  volatile uint32_t outen, outen_set, outen_clr;
  volatile uint32_t out, out_set, out_clr;
  volatile uint32_t in;
} mxc_gpio_regs_t;

typedef struct {
  volatile uint32_t cnt;
} mxc_tmr_regs_t;

typedef struct {
  volatile uint32_t reserved0[64];
  volatile uint32_t ctrl;
  volatile uint32_t reserved1[383];
  volatile uint32_t invalidate;
} mxc_icc_regs_t;

#define MXC_GCR ((mxc_gcr_regs_t *) 0x40000000)
#define MXC_PWRSEQ ((mxc_pwrseq_regs_t *) 0x40006800)
#define MXC_GPIO0 ((mxc_gpio_regs_t *) 0x40008000)
#define MXC_GPIO1 ((mxc_gpio_regs_t *) 0x40009000)
#define MXC_GPIO2 ((mxc_gpio_regs_t *) 0x40080400)
#define MXC_GPIO3 ((mxc_gpio_regs_t *) 0x40080600)
#define MXC_TMR0 ((mxc_tmr_regs_t *) 0x40010000)
#define MXC_TMR1 ((mxc_tmr_regs_t *) 0x40011000)
#define MXC_TMR2 ((mxc_tmr_regs_t *) 0x40012000)
#define MXC_TMR3 ((mxc_tmr_regs_t *) 0x40013000)
#define MXC_TMR4 ((mxc_tmr_regs_t *) 0x40080c00)
#define MXC_TMR5 ((mxc_tmr_regs_t *) 0x40081000)
#define MXC_ICC0 ((mxc_icc_regs_t *) 0x4002a000)
#define MXC_ICC1 ((mxc_icc_regs_t *) 0x4002a800)

#define MXC_F_GCR_PCLKDIV_CNNCLKDIV (7u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV2 (0u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV4 (1u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV8 (2u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV16 (3u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1 (4u << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK (0u << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_ISO (1u << 17)
#ifdef AI8X_MAX78002
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL (3u << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_IPLL (3u << 17)
#define MXC_F_GCR_IPLL_CTRL_EN (1u << 0)
#define MXC_F_GCR_IPLL_CTRL_RDY (1u << 1)
#else
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL (1u << 17)
#endif
#define MXC_F_PWRSEQ_LPPWEN_CPU1 (1u << 10)

#define MXC_GPIO_PIN_0 (1u << 0)
#define MXC_GPIO_PIN_1 (1u << 1)
#define MXC_GPIO_PIN_2 (1u << 2)
#define MXC_GPIO_PIN_3 (1u << 3)
#define MXC_GPIO_PIN_4 (1u << 4)
#define MXC_GPIO_PIN_5 (1u << 5)
#define MXC_GPIO_PIN_6 (1u << 6)
#define MXC_GPIO_PIN_7 (1u << 7)
#define MXC_GPIO_PIN_8 (1u << 8)
#define MXC_GPIO_PIN_9 (1u << 9)
#define MXC_GPIO_PIN_10 (1u << 10)
#define MXC_GPIO_PIN_11 (1u << 11)
#define MXC_GPIO_PIN_12 (1u << 12)
#define MXC_GPIO_PIN_13 (1u << 13)
#define MXC_GPIO_PIN_14 (1u << 14)
#define MXC_GPIO_PIN_15 (1u << 15)
#define MXC_GPIO_PIN_16 (1u << 16)
#define MXC_GPIO_PIN_17 (1u << 17)
#define MXC_GPIO_PIN_18 (1u << 18)
#define MXC_GPIO_PIN_19 (1u << 19)
#define MXC_GPIO_PIN_20 (1u << 20)
#define MXC_GPIO_PIN_21 (1u << 21)
#define MXC_GPIO_PIN_22 (1u << 22)
#define MXC_GPIO_PIN_23 (1u << 23)
#define MXC_GPIO_PIN_24 (1u << 24)
#define MXC_GPIO_PIN_25 (1u << 25)
#define MXC_GPIO_PIN_26 (1u << 26)
#define MXC_GPIO_PIN_27 (1u << 27)
#define MXC_GPIO_PIN_28 (1u << 28)
#define MXC_GPIO_PIN_29 (1u << 29)
#define MXC_GPIO_PIN_30 (1u << 30)
#define MXC_GPIO_PIN_31 (1u << 31)

typedef enum { MXC_GPIO_PAD_NONE } mxc_gpio_pad_t;
typedef enum { MXC_GPIO_FUNC_IN, MXC_GPIO_FUNC_OUT } mxc_gpio_func_t;
typedef enum { MXC_GPIO_VSSEL_VDDIO, MXC_GPIO_VSSEL_VDDIOH } mxc_gpio_vssel_t;

typedef struct {
  mxc_gpio_regs_t *port;
  uint32_t mask;
  mxc_gpio_func_t func;
  mxc_gpio_pad_t pad;
  mxc_gpio_vssel_t vssel;
} mxc_gpio_cfg_t;

#ifdef AI8X_RISCV
typedef enum { CNN_FIFO_IRQn = 56, CNN_IRQn = 57 } IRQn_Type;
#else
typedef enum { RISCV_IRQn = 79, CNN_FIFO_IRQn = 116, CNN_IRQn = 117 } IRQn_Type;
#endif

typedef enum { MXC_SYS_CLOCK_IPO = 4 } mxc_sys_system_clock_t;

/* Bit numbers in pclkdis0, and 32 more in pclkdis1 */
typedef enum {
  MXC_SYS_PERIPH_CLOCK_CNN = 25,
  MXC_SYS_PERIPH_CLOCK_SMPHR = 32 + 9,
  MXC_SYS_PERIPH_CLOCK_CPU1 = 32 + 31,
} mxc_sys_periph_clock_t;

#define SEC(s) (((uint32_t) (s)) * 1000000u)
#define MSEC(ms) ((ms) * 1000u)
#define USEC(us) (us)
#define MXC_DELAY_SEC(s) SEC(s)
#define MXC_DELAY_MSEC(ms) MSEC(ms)
#define MXC_DELAY_USEC(us) USEC(us)

extern uint32_t SystemCoreClock;

void MXC_ICC_Enable(mxc_icc_regs_t *icc);
int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock);
int MXC_SYS_ClockSourceEnable(mxc_sys_system_clock_t clock);
void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock);
void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock);
void SystemCoreClockUpdate(void);
int MXC_Delay(uint32_t us);
void MXC_TMR_Delay(mxc_tmr_regs_t *timer, unsigned long us);
void MXC_TMR_SW_Start(mxc_tmr_regs_t *timer);
unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer);
int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg);
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask);
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask);

void MXC_LP_EnterSleepMode(void);
void MXC_LP_EnterLowPowerMode(void);
void NVIC_EnableIRQ(IRQn_Type irq);
void NVIC_DisableIRQ(IRQn_Type irq);
void NVIC_ClearPendingIRQ(IRQn_Type irq);
#ifndef AI8X_RISCV
void MXC_NVIC_SetVector(IRQn_Type irq, void (*handler)(void));
#endif
#if defined(AI8X_RISCV) || defined(AI8X_HOST)
void NVIC_EnableEVENT(IRQn_Type irq);
void NVIC_ClearPendingEVENT(IRQn_Type irq);
#endif

#ifdef AI8X_HOST
/* There is no such instruction here, nor anything to sleep for: see host.c. */
__asm__(".macro wfi\n.endm");
void *shim_memset(void *target, int value, size_t size);
#define memset shim_memset
static inline void __enable_irq(void) {}
static inline void __disable_irq(void) {}
#elif defined(AI8X_RISCV)
static inline void __enable_irq(void) { __asm__ volatile("csrsi mstatus, 8" ::: "memory"); }
static inline void __disable_irq(void) { __asm__ volatile("csrci mstatus, 8" ::: "memory"); }
#else
static inline void __enable_irq(void) { __asm__ volatile("cpsie i" ::: "memory"); }
static inline void __disable_irq(void) { __asm__ volatile("cpsid i" ::: "memory"); }
#endif
#define __WFI() __asm__ volatile("wfi" ::: "memory")

#endif /* MXC_H_ */
