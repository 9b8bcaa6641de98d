/* The board. SPDX-License-Identifier: Apache-2.0 */
#ifndef BOARD_H_
#define BOARD_H_

#if defined(AI8X_RISCV) || defined(AI8X_HOST)
int Debug_Init(void);
#endif

#endif /* BOARD_H_ */
