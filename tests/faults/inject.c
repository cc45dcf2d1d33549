/* LD_PRELOAD: makes the k-th call of one function of the C library fail, where facegen, or a library that computes or
 * writes for it, makes the call.
 *
 *   FAULT_CALL   the function's name below; several stand for one: "open" is every way of opening
 *   FAULT_AT     k
 *   FAULT_RANK   only in that rank of an Open MPI job
 *   FAULT_TIMES  a place in the program, which is the calls that led to it, counts no more often than that
 *   FAULT_MARK   a file that is made when the call fails, so that one knows whether there was a k-th call
 *   FAULT_NAMED  where it is set there are no files without a name, as on many file systems
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char* failing = "";
static const char* mark;
static long at, times;
static atomic_long calls;

/* Where the code lies whose calls count: the program itself, and the libraries that work for it. */
static struct { uintptr_t first, last; } code[8];
static int codes;

static int note_code(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size, (void)data;
  static int objects;
  static const char* const counted[] = {"libstdc++", "libgomp", "libpng"};
  int wanted = objects++ == 0; /* the program comes first */
  for (int i = 0; i < 3; ++i) wanted |= strstr(info->dlpi_name, counted[i]) != NULL;
  for (int i = 0; wanted && i < info->dlpi_phnum && codes < 8; ++i) {
    const ElfW(Phdr)* part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    code[codes].first = info->dlpi_addr + part->p_vaddr;
    code[codes++].last = info->dlpi_addr + part->p_vaddr + part->p_memsz;
  }
  return 0;
}

__attribute__((constructor)) static void start(void) {
  const char* rank = getenv("FAULT_RANK");
  const char* mine = getenv("OMPI_COMM_WORLD_RANK");
  const char* call = getenv("FAULT_CALL");
  const char* k = getenv("FAULT_AT");
  dl_iterate_phdr(note_code, NULL);
  mark = getenv("FAULT_MARK");
  at = k ? atol(k) : 0;
  times = getenv("FAULT_TIMES") ? atol(getenv("FAULT_TIMES")) : 0;
  if (call && (!rank || (mine && strcmp(rank, mine) == 0))) failing = call;
}

/* Whether the place that makes this call has made it FAULT_TIMES times before. */
static int counted_already(void) {
  enum { kDepth = 12, kPlaces = 8192 };
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static __thread int inside; /* backtrace() may ask for memory itself */
  static struct { uintptr_t hash; long seen; } places[kPlaces];
  if (times == 0 || inside) return inside;
  void* frames[kDepth];
  uintptr_t hash = 1;
  inside = 1;
  for (int left = backtrace(frames, kDepth); left > 0; --left) hash = hash * 31 + (uintptr_t)frames[left - 1];
  inside = 0;
  pthread_mutex_lock(&mutex);
  int i = 0;
  while (i < kPlaces - 1 && places[i].seen && places[i].hash != hash) ++i;
  places[i].hash = hash;
  const int often = places[i].seen++ >= times;
  pthread_mutex_unlock(&mutex);
  return often;
}

/* Whether this call is the one. */
static int fails(const char* name, const void* caller) {
  if (strcmp(name, failing) != 0) return 0;
  int counts = 0;
  for (int i = 0; i < codes; ++i) counts |= (uintptr_t)caller >= code[i].first && (uintptr_t)caller < code[i].last;
  if (!counts || counted_already() || ++calls != at) return 0;
  if (mark) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY, 0644));
  return 1;
}

/* RETURNS name PARAMETERS: passed on to the real function with ARGUMENTS, or fails with RESULT and this errno. */
#define INTERPOSE(returns, symbol, name, parameters, arguments, error, result)      \
  returns symbol parameters {                                                       \
    static returns(*real) parameters;                                               \
    if (!real) real = (returns(*) parameters)dlsym(RTLD_NEXT, #symbol);             \
    if (fails(name, __builtin_return_address(0))) return errno = (error), (result); \
    return real arguments;                                                          \
  }

INTERPOSE(ssize_t, read, "read", (int f, void* b, size_t n), (f, b, n), EIO, -1)
INTERPOSE(ssize_t, write, "write", (int f, const void* b, size_t n), (f, b, n), EIO, -1)
INTERPOSE(ssize_t, pread, "pread", (int f, void* b, size_t n, off_t o), (f, b, n, o), EIO, -1)
INTERPOSE(ssize_t, pwrite, "pwrite", (int f, const void* b, size_t n, off_t o), (f, b, n, o), ENOSPC, -1)
INTERPOSE(off_t, lseek, "lseek", (int f, off_t o, int w), (f, o, w), EIO, -1)
INTERPOSE(int, ftruncate, "ftruncate", (int f, off_t n), (f, n), EIO, -1)
INTERPOSE(int, fallocate, "fallocate", (int f, int m, off_t o, off_t n), (f, m, o, n), ENOSPC, -1)
INTERPOSE(int, posix_fallocate, "fallocate", (int f, off_t o, off_t n), (f, o, n), ENOSPC, ENOSPC)
INTERPOSE(int, memfd_create, "memfd_create", (const char* s, unsigned m), (s, m), EMFILE, -1)
INTERPOSE(int, rename, "rename", (const char* a, const char* b), (a, b), EIO, -1)
INTERPOSE(int, unlink, "unlink", (const char* a), (a), EIO, -1)
INTERPOSE(int, linkat, "linkat", (int f, const char* a, int g, const char* b, int m), (f, a, g, b, m), ENOSPC, -1)
INTERPOSE(int, mkostemp, "open", (char* s, int m), (s, m), EMFILE, -1)
INTERPOSE(int, stat, "stat", (const char* s, struct stat* i), (s, i), EIO, -1)
INTERPOSE(int, fstat, "stat", (int f, struct stat* i), (f, i), EIO, -1)
INTERPOSE(int, fchmod, "fchmod", (int f, mode_t m), (f, m), EPERM, -1)
INTERPOSE(int, fchown, "fchown", (int f, uid_t u, gid_t g), (f, u, g), EPERM, -1)
INTERPOSE(ssize_t, readlink, "readlink", (const char* s, char* b, size_t n), (s, b, n), EIO, -1)
INTERPOSE(void*, mmap, "mmap", (void* a, size_t n, int p, int m, int f, off_t o), (a, n, p, m, f, o), ENOMEM,
          MAP_FAILED)
INTERPOSE(int, pthread_create, "pthread_create", (pthread_t * t, const pthread_attr_t* a, void* (*w)(void*), void* x),
          (t, a, w, x), EAGAIN, EAGAIN)

/* A file that could not be closed is closed all the same. */
int close(int file) {
  const int failed = fails("close", __builtin_return_address(0));
  const int result = (int)syscall(SYS_close, file);
  return failed ? (errno = EIO, -1) : result;
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (fails("open", __builtin_return_address(0))) return errno = EMFILE, -1;
  if ((flags & O_TMPFILE) == O_TMPFILE && getenv("FAULT_NAMED")) return errno = EOPNOTSUPP, -1;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fcntl(int file, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (fails("fcntl", __builtin_return_address(0))) return errno = EMFILE, -1;
  return (int)syscall(SYS_fcntl, file, command, argument);
}

/* The C library's own names: dlsym() would ask for memory itself. */
extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_memalign(size_t, size_t);
#define NO_MEMORY \
  if (fails("malloc", __builtin_return_address(0))) return errno = ENOMEM, NULL
void* malloc(size_t n) {
  NO_MEMORY;
  return __libc_malloc(n);
}
void* calloc(size_t m, size_t n) {
  NO_MEMORY;
  return __libc_calloc(m, n);
}
void* aligned_alloc(size_t a, size_t n) {
  NO_MEMORY;
  return __libc_memalign(a, n);
}
