/*
 * Runs a generated project on a PC: the accelerator's address space is plain memory. What the accelerator would leave
 * there comes from the file IMAGE, pairs of address and value.
 *
 *   host run IMAGE             the program's main(); IMAGE appears when it sleeps
 *   host unload IMAGE          cnn_unload(), its buffer on standard output
 *   host verify IMAGE          cnn_verify_weights() over IMAGE, exit status 0 if it agrees
 *   host reload IMAGE          cnn_load_weights(), then cnn_verify_weights()
 *   host configure IMAGE       cnn_configure(), exit status 0 if it succeeds
 *   host softmax SHIFT X ...   softmax of X ..., after shifting where SHIFT is not negative
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "mxc.h"
#include "gcfr_regs.h"
#include "cnn.h"

mxc_gcr_regs_t host_gcr = { 0, MXC_F_GCR_IPLL_CTRL_RDY };
mxc_pwrseq_regs_t host_pwrseq;
mxc_gpio_regs_t host_gpio[3];
mxc_tmr_regs_t host_timer[6];
mxc_icc_regs_t host_icc[2];
mxc_gcfr_regs_t host_gcfr;

int app_main(void);
int cnn_verify_weights(void) __attribute__((weak));
int cnn_unload(uint32_t *out_buf) __attribute__((weak));

static void (*cnn_handler)(void);
static const char *image;

static void load_image(void)
{
  uint32_t pair[2];
  FILE *file = fopen(image, "rb");
  while (file && fread(pair, sizeof(pair), 1, file) == 1) {
    *(volatile uint32_t *) (uintptr_t) pair[0] = pair[1];
  }
  if (file) {
    fclose(file);
  }
}

void MXC_LP_EnterSleepMode(void)
{
  load_image();
  cnn_handler();
}

void MXC_NVIC_SetVector(IRQn_Type irq, void (*handler)(void))
{
  (void) irq;
  cnn_handler = handler;
}

void MXC_ICC_Enable(mxc_icc_regs_t *icc) { (void) icc; }
int MXC_SYS_Clock_Select(mxc_sys_clock_t clock) { (void) clock; return 0; }
void MXC_SYS_ClockEnable(mxc_sys_periph_t clock) { (void) clock; }
void MXC_SYS_ClockDisable(mxc_sys_periph_t clock) { (void) clock; }
void SystemCoreClockUpdate(void) {}
int MXC_Delay(uint32_t us) { (void) us; return 0; }
void MXC_TMR_SW_Start(mxc_tmr_regs_t *timer) { (void) timer; }
uint32_t MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer) { (void) timer; return 1234; }
void LED_On(unsigned int led) { (void) led; }
void LED_Off(unsigned int led) { (void) led; }
int MXC_GPIO_Config(const mxc_gpio_cfg_t *cfg) { (void) cfg; return 0; }
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask) { port->out |= mask; }
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask) { port->out &= ~mask; }

static int softmax(int argc, char **argv)
{
  int32_t values[64];
  q15_t results[64];
  int shift = atoi(argv[2]), n = argc - 3;
  for (int i = 0; i < n; i++) {
    values[i] = (int32_t) strtol(argv[3 + i], 0, 10);
  }
  if (shift < 0) {
    softmax_q17p14_q15(values, n, results);
  } else {
    softmax_shift_q17p14_q15(values, n, shift, results);
  }
  for (int i = 0; i < n; i++) {
    printf("%d %d\n", results[i], (int) values[i]);
  }
  return 0;
}

int main(int argc, char **argv)
{
  static uint32_t buffer[CNN_UNLOAD_WORDS];

  if (argc < 3) {
    return 2;
  }
  if (!strcmp(argv[1], "softmax")) {
    return softmax(argc, argv);
  }
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (mmap((void *) 0x50000000, 0x5000000, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ||
      mmap((void *) 0x400c0000, 0x1000, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
    return 3;
  }
  image = argv[2];
  if (!strcmp(argv[1], "run")) {
    setbuf(stdout, 0);
    return app_main();
  }
  if (!strcmp(argv[1], "reload")) {
    cnn_load_weights();
  }
  load_image();
  if (!strcmp(argv[1], "configure")) {
    return cnn_configure() != CNN_OK;
  }
  if (!strcmp(argv[1], "unload")) {
    cnn_unload(buffer);
    fwrite(buffer, sizeof(buffer), 1, stdout);
    return 0;
  }
  return cnn_verify_weights() != CNN_OK;
}
