/* The board's LEDs. SPDX-License-Identifier: Apache-2.0 */
#ifndef LED_H_
#define LED_H_

void LED_On(unsigned int led);
void LED_Off(unsigned int led);

#endif /* LED_H_ */
