/* SPDX-License-Identifier: Apache-2.0 */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void) 0)
#else
#define assert(condition) ((condition) ? (void) 0 : ai8x_assertion_failed(#condition, __FILE__, __LINE__))
#endif

#ifndef ASSERT_H_
#define ASSERT_H_
void ai8x_assertion_failed(const char *condition, const char *file, int line) __attribute__((noreturn));
#endif
