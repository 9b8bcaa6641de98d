#ifndef CNN_H_
#define CNN_H_
#define CNN_NUM_OUTPUTS 1
#endif
