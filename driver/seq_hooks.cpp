// What facegen_seq offers the driver beyond the course's three functions, so that facegen_seq.cpp has nothing but
// them.
#include "facegen_hooks.h"

extern "C" int facegen_batch_faces(void) { return 1 << 30; }
extern "C" int facegen_call_faces(void) { return 1; }
extern "C" const char* facegen_about(void) { return "plain loops on one thread of the CPU"; }
