// Weak defaults for the optional hooks of facegen_hooks.h, and for a unit that has nothing to set up or to give back: what the
// driver gets from a unit that implements only facegen. A unit that defines a hook itself replaces the one here at link time.
#include "facegen_hooks.h"

#define WEAK_HOOK extern "C" __attribute__((weak))

WEAK_HOOK void facegen_init() {}
WEAK_HOOK void facegen_fin() {}
WEAK_HOOK int facegen_configure(const struct facegen_options*) { return 0; }
WEAK_HOOK float* facegen_alloc(size_t) { return nullptr; }
WEAK_HOOK void facegen_free(float*) {}
WEAK_HOOK void facegen_share(void) {}
WEAK_HOOK int facegen_batch_faces(void) { return 0; }
WEAK_HOOK int facegen_call_faces(void) { return 0; }
WEAK_HOOK const char* facegen_note(void) { return nullptr; }
WEAK_HOOK const char* facegen_about(void) { return "one unit of facegen_init, facegen and facegen_fin"; }
