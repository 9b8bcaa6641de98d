/*
 * Runs a project on a PC, compiled with the thread sanitizer's instrumentation but without its library: the functions
 * below are called with the address of every load and store. Accesses to the accelerator go to the process that
 * started this one, through a pipe; all other registers are plain memory at their addresses.
 *
 *   program RECORDS MICROSECONDS PARENT    file descriptor for records, duration of an inference, the other process
 *
 * A record is three words: address, value, operation (see host.py). Answers come from standard input.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "mxc.h"
#include "cnn.h"
#include "shim.h"

#define ACCELERATOR 0x50000000u
#define ACCELERATOR_END 0x58000000u
#define PERIPHERALS 0x40000000u
#define PERIPHERALS_SIZE 0x100000u
#define FAST_FIFO 0x400c0400u
#define FAST_FIFO_END 0x400c1000u
#define READY_CLOCKS (1u << 13 | 1u << 27)
#define READY_CACHE (1u << 16)
#define READY_PLL (1u << 1)

enum { STORE = 0, LOAD = 0x10, INTERRUPT = 0x20, SLEEP = 0x21, ENDED = 0x30, RETURNED = 0x31, OUTPUT = 0x40, CONSOLE = 0x41 };

#ifndef CNN_UNLOAD_WORDS
#define CNN_UNLOAD_WORDS CNN_NUM_OUTPUTS
#endif

typedef struct {
  uint32_t address, value, operation;
} record_t;

int app_main(void);
int cnn_load_input(const int8_t *data) __attribute__((weak));
int cnn_load_input_rgb888(const uint8_t *frame) __attribute__((weak));
int cnn_unload(uint32_t *out_buf) __attribute__((weak));
int cnn_continue(void) __attribute__((weak));
void CNN_IRQHandler(void) __attribute__((weak));

static record_t records[4096];
static unsigned int count;
static int pending, descriptor, handling;
static uint32_t inference_us;
static void (*cnn_handler)(void);

static void stop(void)
{
  _Exit(3); /* The other process is gone. */
}

static void flush(void)
{
  const char *data = (const char *) records;
  size_t size = count * sizeof(record_t);

  while (size > 0) {
    ssize_t written = write(descriptor, data, size);
    if (written <= 0) {
      stop();
    }
    data += written;
    size -= (size_t) written;
  }
  count = 0;
}

static void record(uint32_t address, uint32_t value, uint32_t operation)
{
  if (count == sizeof(records) / sizeof(records[0])) {
    flush();
  }
  records[count++] = (record_t) { address, value, operation };
}

/* The compiler reports a store before it happens: its value is known at the next report. */
static void settle(void)
{
  if (pending) {
    record_t *last = &records[count - 1];
    const void *place = (const void *) (uintptr_t) last->address;
    last->value = 0;
    memcpy(&last->value, place, last->operation);
    pending = 0;
  }
}

static void answer(void *target, size_t size)
{
  if (read(STDIN_FILENO, target, size) != (ssize_t) size) {
    stop();
  }
}

static uint32_t ask(uint32_t address, uint32_t operation)
{
  uint32_t value;
  settle();
  record(address, 0, operation);
  flush();
  answer(&value, sizeof(value));
  return value;
}

static int is_accelerator(uintptr_t address)
{
  return (address >= ACCELERATOR && address < ACCELERATOR_END) || (address >= FAST_FIFO && address < FAST_FIFO_END);
}

static void poll_interrupt(uint32_t operation)
{
  mxc_tmr_regs_t *timers[] = { MXC_TMR0, MXC_TMR1, MXC_TMR2, MXC_TMR3, MXC_TMR4, MXC_TMR5 };

  if (handling || !cnn_handler || !ask(0, operation)) {
    return;
  }
  for (unsigned int i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
    timers[i]->cnt += inference_us * (SystemCoreClock / 2000000u);
  }
  handling = 1;
  cnn_handler();
  settle();
  handling = 0;
}

static void on_load(void *place, uint32_t size)
{
  settle();
  if (is_accelerator((uintptr_t) place)) {
    uint32_t value = ask((uint32_t) (uintptr_t) place, LOAD | size);
    memcpy(place, &value, size);
  }
}

static void on_volatile_load(void *place, uint32_t size)
{
  on_load(place, size);
  if (place == (void *) &cnn_time) {
    poll_interrupt(INTERRUPT);
  }
}

static void on_store(void *place, uint32_t size)
{
  settle();
  if (is_accelerator((uintptr_t) place)) {
    record((uint32_t) (uintptr_t) place, 0, STORE | size);
    pending = 1;
  }
}

#define HOOKS(n)                                                                                                       \
  void __tsan_read##n(void *place) { on_load(place, n); }                                                              \
  void __tsan_write##n(void *place) { on_store(place, n); }                                                            \
  void __tsan_read_write##n(void *place) { on_load(place, n); on_store(place, n); }                                    \
  void __tsan_volatile_read##n(void *place) { on_volatile_load(place, n); }                                            \
  void __tsan_volatile_write##n(void *place) { on_store(place, n); }                                                   \
  void __tsan_unaligned_read##n(void *place) { on_load(place, n); }                                                    \
  void __tsan_unaligned_write##n(void *place) { on_store(place, n); }                                                  \
  void __tsan_unaligned_read_write##n(void *place) { on_load(place, n); on_store(place, n); }                          \
  void __tsan_unaligned_volatile_read##n(void *place) { on_volatile_load(place, n); }                                  \
  void __tsan_unaligned_volatile_write##n(void *place) { on_store(place, n); }
HOOKS(1)
HOOKS(2)
HOOKS(4)

/* Wider accesses are to the program's own memory: the accelerator's bus does not know them. */
#define OWN_MEMORY(n)                                                                                                  \
  void __tsan_read##n(void *place) { (void) place; }                                                                   \
  void __tsan_write##n(void *place) { (void) place; }                                                                  \
  void __tsan_volatile_read##n(void *place) { (void) place; }                                                          \
  void __tsan_volatile_write##n(void *place) { (void) place; }                                                         \
  void __tsan_unaligned_read##n(void *place) { (void) place; }                                                         \
  void __tsan_unaligned_write##n(void *place) { (void) place; }
OWN_MEMORY(8)
OWN_MEMORY(16)

void __tsan_init(void) {}
void __tsan_func_entry(void *address) { (void) address; }
void __tsan_func_exit(void) {}
void __tsan_read_range(void *place, unsigned long size) { (void) place, (void) size; }
void __tsan_write_range(void *place, unsigned long size) { (void) place, (void) size; }
void *__tsan_memcpy(void *to, const void *from, unsigned long size) { return memcpy(to, from, size); }
void *__tsan_memmove(void *to, const void *from, unsigned long size) { return memmove(to, from, size); }
void *__tsan_memset(void *to, int value, unsigned long size) { return shim_memset(to, value, size); }

/* mxc.h puts this in the place of memset(), byte by byte as on the part. */
void *shim_memset(void *target, int value, size_t size)
{
  uint8_t *place = target;

  for (size_t i = 0; i < size; i++) {
    on_store(&place[i], 1);
    place[i] = (uint8_t) value;
  }
  settle();
  return target;
}

void shim_putchar(char character)
{
  settle();
  record(0, (uint8_t) character, CONSOLE);
  if (character == '\n') {
    flush();
  }
}

void shim_exit(int status)
{
  flush();
  _Exit(status);
}

void shim_delay(uint32_t us)
{
  (void) us;
}

void MXC_NVIC_SetVector(IRQn_Type irq, void (*handler)(void))
{
  if (irq == CNN_IRQn) {
    cnn_handler = handler;
  }
}

void NVIC_EnableIRQ(IRQn_Type irq)
{
  if (irq == CNN_IRQn && CNN_IRQHandler) {
    cnn_handler = CNN_IRQHandler;
  }
}

void NVIC_DisableIRQ(IRQn_Type irq) { (void) irq; }
void NVIC_ClearPendingIRQ(IRQn_Type irq) { (void) irq; }
void NVIC_EnableEVENT(IRQn_Type irq) { (void) irq; }
void NVIC_ClearPendingEVENT(IRQn_Type irq) { (void) irq; }
void MXC_LP_EnterSleepMode(void) { poll_interrupt(SLEEP); }
void MXC_LP_EnterLowPowerMode(void) { poll_interrupt(SLEEP); }

static int enable(void) { return cnn_enable(0, 0); }
static int wait_for_network(void) { shim_wait(); return CNN_OK; }

/* The numbers that host.py knows these functions by */
static int (*const functions[])(void) = {
  enable, cnn_init, cnn_load_weights, cnn_load_bias, cnn_configure, cnn_start, wait_for_network, cnn_continue,
};

static void unload(void)
{
  static uint32_t buffer[CNN_UNLOAD_WORDS];

  cnn_unload(buffer);
  settle();
  for (unsigned int i = 0; i < CNN_UNLOAD_WORDS; i++) {
    record(i, buffer[i], OUTPUT);
  }
}

static void load(int is_frame)
{
  static uint8_t *data;
  uint32_t size, done = 0;

  answer(&size, sizeof(size));
  data = realloc(data, size);
  while (data && done < size) {
    ssize_t received = read(STDIN_FILENO, data + done, size - done);
    if (received <= 0) {
      stop();
    }
    done += (uint32_t) received;
  }
  if (is_frame) {
    cnn_load_input_rgb888(data);
  } else {
    cnn_load_input((const int8_t *) data);
  }
}

static int map_memory(uintptr_t address, size_t size)
{
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
  return mmap((void *) address, size, PROT_READ | PROT_WRITE, flags, -1, 0) == (void *) address;
}

int main(int argc, char **argv)
{
  const uint32_t known = sizeof(functions) / sizeof(functions[0]);
  uint32_t command;

  if (argc != 4 || !map_memory(ACCELERATOR, ACCELERATOR_END - ACCELERATOR) || !map_memory(PERIPHERALS, PERIPHERALS_SIZE)) {
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* Programs that do not end would go on without the process that watches them. */
  if (getppid() != atoi(argv[3])) {
    stop();
  }
  descriptor = atoi(argv[1]);
  inference_us = (uint32_t) atoi(argv[2]);
  MXC_GCR->clkctrl = READY_CLOCKS;
  MXC_GCR->ipll_ctrl = READY_PLL;
  MXC_ICC0->ctrl = MXC_ICC1->ctrl = READY_CACHE;
  command = (uint32_t) app_main();
  settle();
  record(0, command, ENDED);
  flush();
  while (read(STDIN_FILENO, &command, sizeof(command)) == sizeof(command)) {
    if (command < known) {
      functions[command]();
    } else if (command > known) {
      load(command > known + 1);
    } else {
      unload();
    }
    settle();
    record(0, 0, RETURNED);
    flush();
  }
  return 0;
}
