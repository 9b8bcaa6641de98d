/*
 * SDK functions of both cores, in terms of the part's registers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "board.h"
#include "led.h"
#include "mxc.h"
#include "shim.h"

#define CLKCTRL_SYSCLK_SEL (7u << 9)
#define CLKCTRL_SYSCLK_RDY (1u << 13)
#define CLKCTRL_IPO_EN (1u << 19)
#define CLKCTRL_IPO_RDY (1u << 27)
#define ICC_EN (1u << 0)
#define ICC_RDY (1u << 16)
#define ISO_HZ 60000000u

#ifdef AI8X_MAX78002
#define IPO_HZ 120000000u
#else
#define IPO_HZ 100000000u
#endif

uint32_t SystemCoreClock = ISO_HZ; /* After reset */

static void wait_for(volatile uint32_t *address, uint32_t bit)
{
  while (!(*address & bit)) {
  }
}

void MXC_ICC_Enable(mxc_icc_regs_t *icc)
{
  icc->ctrl &= ~ICC_EN;
  icc->invalidate = 1;
  wait_for(&icc->ctrl, ICC_RDY);
  icc->ctrl |= ICC_EN;
  wait_for(&icc->ctrl, ICC_RDY);
}

int MXC_SYS_ClockSourceEnable(mxc_sys_system_clock_t clock)
{
  (void) clock;
  MXC_GCR->clkctrl |= CLKCTRL_IPO_EN;
  wait_for(&MXC_GCR->clkctrl, CLKCTRL_IPO_RDY);
  return 0;
}

int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock)
{
  MXC_SYS_ClockSourceEnable(clock);
  MXC_GCR->clkctrl = (MXC_GCR->clkctrl & ~CLKCTRL_SYSCLK_SEL) | ((uint32_t) clock << 9);
  wait_for(&MXC_GCR->clkctrl, CLKCTRL_SYSCLK_RDY);
  SystemCoreClockUpdate();
  return 0;
}

void SystemCoreClockUpdate(void)
{
  uint32_t source = (MXC_GCR->clkctrl & CLKCTRL_SYSCLK_SEL) >> 9;
  SystemCoreClock = source == MXC_SYS_CLOCK_IPO ? IPO_HZ : ISO_HZ;
}

static volatile uint32_t *disable_register(mxc_sys_periph_clock_t clock)
{
  return clock < 32 ? &MXC_GCR->pclkdis0 : &MXC_GCR->pclkdis1;
}

void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock)
{
  *disable_register(clock) &= ~(1u << (clock % 32));
}

void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock)
{
  *disable_register(clock) |= 1u << (clock % 32);
}

int MXC_Delay(uint32_t us)
{
  shim_delay(us);
  return 0;
}

void MXC_TMR_Delay(mxc_tmr_regs_t *timer, unsigned long us)
{
  (void) timer;
  shim_delay((uint32_t) us);
}

/* Timers count the peripheral clock, half the core's clock. */
void MXC_TMR_SW_Start(mxc_tmr_regs_t *timer)
{
  timer->cnt = 0;
}

unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer)
{
  return timer->cnt / (SystemCoreClock / 2000000u);
}

int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg)
{
  cfg->port->en0_set = cfg->mask;
  if (cfg->func == MXC_GPIO_FUNC_OUT) {
    cfg->port->outen_set = cfg->mask;
  }
  return 0;
}

void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask)
{
  port->out_set = mask;
}

void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask)
{
  port->out_clr = mask;
}

/* The evaluation kit's LEDs light when their pins are low. */
void LED_On(unsigned int led)
{
  MXC_GPIO_OutClr(MXC_GPIO0, MXC_GPIO_PIN_2 << led);
}

void LED_Off(unsigned int led)
{
  MXC_GPIO_OutSet(MXC_GPIO0, MXC_GPIO_PIN_2 << led);
}

int Debug_Init(void)
{
  return 0;
}

void shim_wait(void)
{
  while (cnn_time == 0) {
    MXC_LP_EnterSleepMode();
  }
}
