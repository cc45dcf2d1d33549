// What facegen_seq offers the driver beyond the course's three functions, so that facegen_seq.cpp has nothing but
// them.
#include "facegen_hooks.h"

static facegen_options g_options;

extern "C" void facegen_configure(const facegen_options* options) { g_options = *options; }

extern "C" int facegen_batch_faces(void) { return 1 << 30; }

extern "C" int facegen_call_faces(void) { return 1; }

extern "C" const char* facegen_note(void) {
  if (!g_options.devices && g_options.threads == 0) return nullptr;
  return "--devices and --threads do nothing here: facegen_seq computes on one thread of the CPU";
}

extern "C" const char* facegen_about(void) { return "plain loops on one thread of the CPU"; }
