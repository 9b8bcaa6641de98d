/* Ends in the way that the first word of data memory says. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mxc.h"
#include "gcfr_regs.h"
#include "cnn.h"

#define SELECTION (*(volatile uint32_t *) 0x50400000)
#define CONTROL (*(volatile uint32_t *) 0x50100000)

volatile uint32_t cnn_time;
static volatile int zero;

static void ignore(void)
{
}

static void power_up(void)
{
  MXC_GCFR->reg1 = 0xf;
  MXC_GCFR->reg0 = 0xf;
  MXC_GCFR->reg3 = 0;
  MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_CNN);
}

static void print(void)
{
  char text[8];
  int length = snprintf(text, sizeof(text), "%s", "truncated");
  printf("[%5d] [%-5d] [%05d] [%d] [%u] [%x] [%04X] [%c] [%6s] [%%] %d %s\n", -42, 42, -42, INT32_MIN, 4000000000u, 0xbeef,
         0xab, 'x', "text", length, text);
  printf("%lld %llx %lu %zu %ld\n", -1234567890123456789LL, 0xfedcba9876543210ULL, 7ul, sizeof(int), -8l);
  puts("puts");
  putchar('.');
}

int main(void)
{
  printf("hello %d\n", GREETING);
  MXC_Delay(SEC(2));
  power_up();
  switch (SELECTION) {
    case 1:
      return 0;
    case 2:
      return 7;
    case 3:
      while (1) {
      }
    case 4:
      while (CONTROL != 0x12345678) {
      }
      return 0;
    case 5:
      *(volatile uint32_t *) 0x70000000 = 1;
      return 0;
    case 6:
      *(volatile uint32_t *) 0x10000000 = 1;
      return 0;
    case 7:
      MXC_SYS_ClockDisable(MXC_SYS_PERIPH_CLOCK_CNN);
      return (int) SELECTION;
    case 8:
      __asm__ volatile("udf #0");
      return 0;
    case 9:
      assert(zero);
      return 0;
    case 10:
      MXC_NVIC_SetVector(CNN_IRQn, ignore);
      CONTROL = 1;
      MXC_LP_EnterSleepMode();
      return 0;
    case 11:
      CONTROL = 1;
      MXC_LP_EnterSleepMode();
      return 0;
    case 12:
      print();
      return 0;
    case 13:
      exit(3);
    case 15:
      printf("*** PASS ***\n");
      while (1) {
      }
    case 16:
      printf("*** PASS ***\n");
      while (1) {
        __WFI();
      }
    case 17:
      while (1) {
        printf("again\n");
      }
    case 18:
      printf("*** PASS ***\n");
      while (1) {
        putchar('.');
      }
    case 19:
      printf("*** FAIL ***\n");
      while (1) {
        printf("\n");
      }
    case 20:
      printf("*** PASS ***\n");
      while (1) {
        MXC_GPIO_OutSet(MXC_GPIO0, MXC_GPIO_PIN_2);
        MXC_Delay(SEC(1));
      }
    case 14:
      while (zero == 0) {
      }
      return 0;
  }
  return 1;
}
